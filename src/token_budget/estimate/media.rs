//! Recognizes pictures, sounds, videos and documents in a prompt.

use crate::payload::Node;

/// The estimate of a picture, sound, video or document of any size.
pub(super) const MEDIUM: u64 = 1_000;
/// A shorter string is an id, a name or a word.
const MIN_BASE64: usize = 256;

/// Returns whether the value of a member is one medium: data, an address or an object with either.
/// `tests/token_budget/media.rs` names the page of each API.
pub(super) fn is_medium(name: &str) -> bool {
    matches!(
        name,
        "image_url"
            | "image"
            | "images"
            | "input_image"
            | "mask"
            | "input_audio"
            | "audio_url"
            | "audio"
            | "video_url"
            | "video"
            | "file"
            | "file_data"
            | "fileData"
            | "inline_data"
            | "inlineData"
            | "b64_json"
    )
}

/// Returns whether a model reads a member as text, even if it looks like base64.
pub(super) fn is_text(name: &str) -> bool {
    matches!(
        name,
        "content"
            | "text"
            | "prompt"
            | "system"
            | "instructions"
            | "arguments"
            | "output"
            | "thinking"
    )
}

/// Returns whether a member holds base64 in some API.
pub(super) fn holds_base64(name: &str) -> bool {
    matches!(
        name,
        "data"
            | "result"
            | "bytes"
            | "blob"
            | "base64"
            | "b64"
            | "url"
            | "uri"
            | "image_data"
            | "multimodal_data"
            | "encrypted_content"
            | "signature"
            | "thoughtSignature"
            | "thought_signature"
    )
}

/// Returns whether the `type` of a part is a medium. A document of plain text is none.
pub(super) fn is_part_of_medium(part: Node<'_>) -> bool {
    let says = |node: Option<Node<'_>>, words: &[&str]| {
        node.and_then(Node::as_str).is_some_and(|kind| words.contains(&&*kind))
    };
    let source = part.get("source").and_then(|source| source.get("type"));
    let types = [
        "image",
        "document",
        "input_image",
        "input_file",
        "input_audio",
        "audio",
        "video",
        "input_video",
        "file",
    ];
    says(part.get("type"), &types) && !says(source, &["text", "content"])
}

pub(super) fn is_address(text: &str) -> bool {
    ["http://", "https://", "gs://", "s3://", "data:"].iter().any(|scheme| text.starts_with(scheme))
}

/// Returns whether the text is a base64 URL of RFC 2397.
pub(super) fn is_data_url(text: &str) -> bool {
    let Some((kind, data)) = text.strip_prefix("data:").and_then(|text| text.split_once(','))
    else {
        return false;
    };
    kind.ends_with(";base64") && data.bytes().all(is_of_base64)
}

pub(super) fn is_base64(text: &str) -> bool {
    text.len() >= MIN_BASE64 && text.bytes().all(is_of_base64)
}

/// Returns whether a byte belongs to base64 (RFC 4648 sections 4 and 5), or to its lines (RFC 2045).
const fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n')
}

/// Returns whether the text starts like a known type of file in base64.
pub(super) fn has_magic(text: &str) -> bool {
    // PNG, JPEG, GIF, RIFF (WebP, WAV), BMP, TIFF (two byte orders), PDF, MP3 (two kinds), Ogg, FLAC,
    // Matroska and ZIP (DOCX), in this order.
    const MAGIC: [&str; 14] = [
        "iVBORw0KGgo",
        "/9j/",
        "R0lGOD",
        "UklGR",
        "Qk0",
        "SUkqA",
        "TU0AK",
        "JVBERi0",
        "SUQz",
        "//uQ",
        "T2dnU",
        "ZkxhQ",
        "GkXfo",
        "UEsDB",
    ];
    MAGIC.iter().any(|magic| text.starts_with(magic))
}
