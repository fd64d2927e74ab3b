//! Recognizes pictures, sounds, videos and documents in a prompt.

use crate::payload::{Kind, Node};

/// The estimate of a picture, sound, video or document of any size.
pub(super) const MEDIUM: u64 = 1_000;
/// A shorter string is an id, a name or a word.
pub(super) const MIN_BASE64: usize = 256;
/// A longer string is a text. Servers accept addresses of 8,000 bytes (RFC 9110 section 4.1).
const MAX_ADDRESS: usize = 8_192;

/// Returns whether the value of a member is one medium: data, an address or an object with either.
/// `tests/token_budget/media.rs` names the page of each API.
pub(super) fn is_medium(name: &str) -> bool {
    matches!(
        name,
        "image_url"
            | "image"
            | "images"
            | "input_image"
            | "input_image_mask"
            | "mask"
            | "input_audio"
            | "audio_url"
            | "audio"
            | "video_url"
            | "video"
            | "image_embeds"
            | "audio_embeds"
            | "prompt_embeds"
            | "document_url"
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
            | "encrypted_index"
            | "encrypted_stdout"
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

/// Returns whether a value has a medium anywhere in it.
pub(super) fn holds_medium(name: &str, node: Node<'_>) -> bool {
    if is_medium(name) {
        return true;
    }
    match node.kind() {
        Kind::String => node.as_str().is_some_and(|text| {
            is_data_url(&text) || is_base64(&text) && (holds_base64(name) || has_magic(&text))
        }),
        Kind::Array => node.elements().any(|element| holds_medium(name, element)),
        Kind::Object => {
            is_part_of_medium(node)
                || node.members().any(|(name, member)| holds_medium(&name, member))
        }
        _ => false,
    }
}

pub(super) fn is_address(text: &str) -> bool {
    ["http://", "https://", "gs://", "s3://"].iter().any(|scheme| text.starts_with(scheme))
        && text.len() <= MAX_ADDRESS
        && !text.contains(char::is_whitespace)
}

/// Returns whether the text is a base64 URL of RFC 2397.
pub(super) fn is_data_url(text: &str) -> bool {
    let Some((kind, data)) = text.strip_prefix("data:").and_then(|text| text.split_once(','))
    else {
        return false;
    };
    kind.ends_with(";base64") && kind.len() < MIN_BASE64 && is_of_base64(data)
}

pub(super) fn is_base64(text: &str) -> bool {
    text.len() >= MIN_BASE64 && is_of_base64(text)
}

/// Returns whether the text is base64 in one alphabet (RFC 4648 sections 4 and 5) and in lines of one
/// length (RFC 2045). Prose has spaces or lines of different lengths.
fn is_of_base64(text: &str) -> bool {
    let text = text.trim_end_matches(['\r', '\n']);
    let data = text.trim_end_matches('=');
    let mut lines = data.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).peekable();
    let width = lines.peek().map_or(0, |line| line.len());
    let (mut length, mut plain, mut of_urls) = (0_usize, false, false);
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        if line.len() > width || line.len() < width && !last {
            return false;
        }
        length = length.saturating_add(line.len());
        for byte in line.bytes() {
            match byte {
                b'+' | b'/' => plain = true,
                b'-' | b'_' => of_urls = true,
                _ if byte.is_ascii_alphanumeric() => {}
                _ => return false,
            }
        }
    }
    let padding = text.len().saturating_sub(data.len());
    // A whole number of bytes never leaves one digit over.
    length % 4 != 1 && padding <= 2 && !(plain && of_urls)
}

/// Returns whether the text starts like a known type of file in base64.
pub(super) fn has_magic(text: &str) -> bool {
    // PNG, JPEG, GIF, RIFF (WebP, WAV), BMP, TIFF (two byte orders), PDF, MP3 with a tag, Ogg, FLAC,
    // Matroska, ZIP (DOCX) and AMR, in this order.
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
        "T2dnU",
        "ZkxhQ",
        "GkXfo",
        "UEsDB",
        "IyFBTVI",
    ];
    MAGIC.iter().any(|magic| text.starts_with(magic)) || is_audio_frame(text) || is_mp4_box(text)
}

/// Returns whether the text starts with the sync word of MPEG audio, layer III or AAC: 0xFFF1 to
/// 0xFFF3 and 0xFFF9 to 0xFFFB.
fn is_audio_frame(text: &str) -> bool {
    let next = text.strip_prefix("//").and_then(|text| text.bytes().next());
    next.is_some_and(|byte| matches!(byte, b'E'..=b'P' | b'k'..=b'v'))
}

/// Returns whether the text starts like MP4, M4A, HEIC or AVIF: the length of a short box and `ftyp`
/// (ISO/IEC 14496-12 section 4.3).
fn is_mp4_box(text: &str) -> bool {
    text.starts_with("AAAA") && text.get(6..10) == Some("Z0eX")
}
