//! The tokens of a prompt: of its texts, and of the pictures, sounds and files in it.

use memchr::memmem;

use super::tokenizer::Tokenizer;
use crate::{
    payload::{Kind, Node},
    text_tokens::TextTokens,
};

/// A picture, a sound, a video, a document: whatever it weighs.
pub(super) const MEDIA: u64 = 1_000;
/// What a chat template puts around a message: its role, and the marks of its start and end.
const AROUND_MESSAGE: u64 = 4;
/// A shorter string is an id, a name or a word.
const SHORTEST_BLOB: usize = 256;
/// A longer one is a text. Servers take addresses of 8,000 bytes (RFC 9110 section 4.1).
const LONGEST_ADDRESS: usize = 8_192;
/// A longer name of a member is a text. Names of APIs are shorter.
const LONGEST_NAME: usize = 64;

/// What was read of a prompt so far.
pub(super) struct Prompt<'a> {
    tokenizer: Option<&'a Tokenizer>,
    texts: TextTokens,
    tokens: u64,
    // Media that were found, and the bytes of those that are not text.
    media: u64,
    blobs: u64,
    // Bytes of texts: a token is at least one.
    bytes: u64,
    // The upstream adds to this prompt what the body only names.
    adds: bool,
}

impl<'a> Prompt<'a> {
    pub(super) fn of(root: Node<'_>, tokenizer: Option<&'a Tokenizer>) -> Self {
        let texts = TextTokens::default();
        let mut prompt =
            Self { tokenizer, texts, tokens: 0, media: 0, blobs: 0, bytes: 0, adds: false };
        for (name, value) in root.members() {
            prompt.name(&name);
            prompt.adds |= !value.is_null() && adds(&name, value);
            match &*name {
                _ if value.is_null() => {}
                "messages" => {
                    let messages = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    prompt.add(messages.saturating_mul(AROUND_MESSAGE));
                    prompt.read("messages", value, false);
                }
                "tools" => prompt.tools(value),
                "functions"
                | "response_format"
                | "guided_json"
                | "json_schema"
                | "text_format"
                | "chat_template_kwargs" => prompt.schema(value),
                "input_embeds" => prompt.rows(value),
                // Said of the answer, or of the machine.
                "model" | "user" | "stop" | "metadata" | "stream_options" | "options"
                | "logit_bias" | "allowed_token_ids" | "tool_choice" | "sampling_params" => {}
                // The voice of an answer.
                "audio" if value.kind() == Kind::Object => prompt.read("", value, false),
                // Some hold texts, such as the labels of a classification.
                "parameters" => prompt.texts_of("", value),
                name if matches!(value.kind(), Kind::String | Kind::Array | Kind::Object) => {
                    prompt.read(name, value, false);
                }
                _ => {}
            }
        }
        prompt
    }

    pub(super) const fn tokens(&self) -> u64 {
        let media = self.media.saturating_mul(MEDIA);
        self.tokens.saturating_add(self.texts.estimate()).saturating_add(media)
    }

    /// The most that this prompt can have taken of a body of so many bytes, of which none knows
    /// what is read. A document of media may have many pages.
    pub(super) fn most(&self, bytes: usize) -> u64 {
        if self.adds {
            return u64::MAX;
        }
        let media = self.media.saturating_mul(4).saturating_mul(MEDIA).max(self.blobs);
        let counted = self.tokens.saturating_mul(4);
        self.bytes.saturating_add(counted).saturating_add(media).max(bytes as u64)
    }

    /// A quarter of a body of so many bytes, where its media cost their own.
    pub(super) fn by_bytes(&self, bytes: usize) -> u64 {
        let rest = (bytes as u64).saturating_sub(self.blobs);
        rest.div_ceil(4).saturating_add(self.media.saturating_mul(MEDIA))
    }

    const fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        match self.tokenizer {
            Some(tokenizer) => self.add(tokenizer.count(text)),
            None => {
                self.texts.end();
                self.texts.feed(text.as_bytes());
            }
        }
    }

    const fn blob(&mut self, blob: &str) {
        self.blobs = self.blobs.saturating_add(blob.len() as u64);
    }

    const fn medium(&mut self) {
        self.media = self.media.saturating_add(1);
    }

    /// A schema is read as it is written, with its names.
    fn schema(&mut self, node: Node<'_>) {
        self.text(str::from_utf8(node.raw()).unwrap_or_default());
    }

    fn name(&mut self, name: &str) {
        if name.len() > LONGEST_NAME {
            self.text(name);
        }
    }

    /// Schemas, and tools that the upstream runs by itself.
    fn tools(&mut self, tools: Node<'_>) {
        if !tools.elements().any(is_hosted) {
            return self.schema(tools);
        }
        self.adds = true;
        for tool in tools.elements() {
            if !is_hosted(tool) {
                self.schema(tool);
                continue;
            }
            for (name, member) in tool.members() {
                self.text(&name);
                if is_medium(&name) {
                    self.read(&name, member, false);
                } else {
                    self.schema(member);
                }
            }
        }
    }

    /// Embeddings of tokens: each row of numbers is one.
    fn rows(&mut self, rows: Node<'_>) {
        match rows.elements().next().map(Node::kind) {
            Some(Kind::Array) => rows.elements().for_each(|row| self.rows(row)),
            Some(Kind::Number) => self.add(1),
            _ => self.read("", rows, false),
        }
    }

    /// The strings of a value of this name, and numbers as tokens. Inside of a medium, what is
    /// neither its data nor its address is text.
    fn read(&mut self, name: &str, node: Node<'_>, inside: bool) {
        match node.kind() {
            Kind::String => {
                if let Some(text) = node.as_str() {
                    self.string(name, &text, inside);
                }
            }
            Kind::Number => self.add(1),
            Kind::Array => node.elements().for_each(|element| self.read(name, element, inside)),
            // The depth of a document is bounded.
            Kind::Object if !inside && is_medium(name) => {
                self.medium();
                self.members(node, true);
            }
            Kind::Object => {
                let before = self.media;
                self.members(node, inside);
                if !inside && self.media == before && is_part_of_medium(node) {
                    // By its address, or the id of a file.
                    self.medium();
                    self.adds |= has_address(node);
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, node: Node<'_>, inside: bool) {
        for (name, member) in node.members() {
            self.name(&name);
            match &*name {
                // What a tool was called with is read as it is written, with its names.
                "input" | "arguments" | "args" if !inside && member.kind() == Kind::Object => {
                    self.schema(member);
                }
                name => self.read(name, member, inside),
            }
        }
    }

    /// The strings of a value alone.
    fn texts_of(&mut self, name: &str, node: Node<'_>) {
        match node.kind() {
            Kind::String => self.read(name, node, false),
            Kind::Array => node.elements().for_each(|element| self.texts_of(name, element)),
            Kind::Object => node.members().for_each(|(name, one)| {
                self.name(&name);
                self.texts_of(&name, one);
            }),
            _ => {}
        }
    }

    fn string(&mut self, name: &str, text: &str, inside: bool) {
        self.adds |= matches!(name, "file_id" | "file_url" | "file_uri" | "fileUri")
            || name == "type" && text == "item_reference"
            || inside && name == "id"
            || (inside || is_medium(name)) && is_address(text);
        if inside {
            if is_address(text) || is_data_url(text) || is_base64(text) {
                self.blob(text);
            } else {
                self.text(text);
            }
        } else if is_medium(name) {
            // What is short costs less as a text.
            let short = text.len() < SHORTEST_BLOB;
            if short || is_address(text) || is_data_url(text) || is_base64(text) {
                if !text.is_empty() {
                    self.medium();
                    self.blob(text);
                }
            } else {
                self.text(text);
            }
        } else if is_text(name) {
            self.text(text);
        } else if is_data_url(text) || is_base64(text) && (is_data(name) || has_magic(text)) {
            self.medium();
            self.blob(text);
        } else if name == "inputs" {
            self.with_pictures(text);
        } else {
            self.text(text);
        }
    }

    /// TGI reads pictures out of Markdown in `inputs`: `![](data:image/png;base64,...)`.
    fn with_pictures(&mut self, mut text: &str) {
        while let Some(at) = memmem::find(text.as_bytes(), b"](data:image/") {
            let Some((before, picture)) = text.split_at_checked(at) else { break };
            let end = picture.find(')').unwrap_or(picture.len());
            let (picture, after) = picture.split_at_checked(end).unwrap_or((picture, ""));
            self.text(before);
            if picture.strip_prefix("](").is_some_and(is_data_url) {
                self.medium();
                self.blob(picture);
            } else {
                self.text(picture);
            }
            text = after;
        }
        self.text(text);
    }
}

/// Members whose value is one medium: data, an address or an object that has them. Of each API the
/// page is named in `tests/token_budget/media.rs`.
fn is_medium(name: &str) -> bool {
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

/// Members that a model reads as text whatever they look like.
fn is_text(name: &str) -> bool {
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

/// Members that hold base64 of some API.
fn is_data(name: &str) -> bool {
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

/// Whether the `type` of a part says that it is a medium, and not a document of plain text.
fn is_part_of_medium(part: Node<'_>) -> bool {
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

/// Whether such a member of a request names what the upstream holds or looks up, so that the body
/// does not bound the prompt. Of each the page is named in `tests/token_budget/held.rs`.
fn adds(name: &str, value: Node<'_>) -> bool {
    match name {
        "previous_response_id" | "conversation" | "web_search_options" => true,
        "mcp_servers" => value.len() > 0,
        // One that is stored, as of OpenAI's responses.
        "prompt" => value.get("id").is_some(),
        _ => false,
    }
}

/// Tools of other types than these are run by the upstream, which reads what they say.
fn is_hosted(tool: Node<'_>) -> bool {
    let kind = tool.get("type").and_then(Node::as_str);
    kind.is_some_and(|kind| !matches!(&*kind, "function" | "custom"))
}

/// Whether a part says where its medium is.
fn has_address(part: Node<'_>) -> bool {
    [Some(part), part.get("source")].into_iter().flatten().any(|node| {
        let url = node.get("url").or_else(|| node.get("uri")).and_then(Node::as_str);
        url.is_some_and(|url| is_address(&url))
    })
}

fn is_address(text: &str) -> bool {
    ["http://", "https://", "gs://", "s3://"].iter().any(|scheme| text.starts_with(scheme))
        && text.len() <= LONGEST_ADDRESS
        && !text.contains(char::is_whitespace)
}

/// RFC 2397.
fn is_data_url(text: &str) -> bool {
    let Some((kind, data)) = text.strip_prefix("data:").and_then(|text| text.split_once(','))
    else {
        return false;
    };
    kind.ends_with(";base64") && kind.len() < SHORTEST_BLOB && is_of_base64(data)
}

fn is_base64(text: &str) -> bool {
    text.len() >= SHORTEST_BLOB && is_of_base64(text)
}

/// One alphabet of RFC 4648 sections 4 and 5 and its padding, in lines of one length as of RFC 2045.
/// Prose has spaces, or lines of any length.
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
    // No number of bytes has so many digits.
    length % 4 != 1 && padding <= 2 && !(plain && of_urls)
}

/// The first bytes of known types of files, in base64: PNG, JPEG, GIF, RIFF (WebP, WAV), BMP, TIFF,
/// PDF, MP3 with a tag, Ogg, FLAC, Matroska, ZIP (DOCX), AMR.
fn has_magic(text: &str) -> bool {
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
    MAGIC.iter().any(|magic| text.starts_with(magic)) || is_frame(text) || is_boxed(text)
}

/// The sync word of a frame of MPEG audio, layer III or AAC: 0xFFF1 to 0xFFF3, 0xFFF9 to 0xFFFB.
fn is_frame(text: &str) -> bool {
    let next = text.strip_prefix("//").and_then(|text| text.bytes().next());
    next.is_some_and(|byte| matches!(byte, b'E'..=b'P' | b'k'..=b'v'))
}

/// MP4, M4A, HEIC, AVIF: the length of a short box, then `ftyp` (ISO/IEC 14496-12 section 4.3).
fn is_boxed(text: &str) -> bool {
    text.starts_with("AAAA") && text.get(6..10) == Some("Z0eX")
}
