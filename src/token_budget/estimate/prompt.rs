//! Counts the tokens of a prompt: of its texts, pictures, sounds and files.

use memchr::memmem;

use super::external::{has_address, has_cache_key, has_external, is_hosted_tool};
use super::media::{
    MEDIUM, MIN_BASE64, has_magic, holds_base64, holds_medium, is_address, is_base64, is_data_url,
    is_medium, is_part_of_medium, is_text,
};
use crate::{
    payload::{Kind, Node},
    text_tokens::TextTokens,
    token_budget::tokenizer::Tokenizer,
};

/// The tokens that a chat template adds to a message: its role and its delimiters.
const MESSAGE_TEMPLATE: u64 = 4;
/// A longer name of a member is a text. Names of APIs are shorter.
const MAX_NAME: usize = 64;
/// A longer number is a text. A shorter one is a token id or the part of a vector.
const MAX_NUMBER: usize = 24;

/// The tokens of the members that were read so far.
pub(super) struct PromptTokens<'a> {
    tokenizer: Option<&'a Tokenizer>,
    texts: TextTokens,
    tokens: u64,
    // The number of media, and the bytes of their data.
    media: u64,
    blob_bytes: u64,
    text_bytes: u64,
    // Whether the upstream adds to the prompt what the body only names.
    has_external: bool,
}

impl<'a> PromptTokens<'a> {
    pub(super) fn of(root: Node<'_>, tokenizer: Option<&'a Tokenizer>) -> Self {
        let texts = TextTokens::default();
        let mut prompt = Self {
            tokenizer,
            texts,
            tokens: 0,
            media: 0,
            blob_bytes: 0,
            text_bytes: 0,
            has_external: has_external(root),
        };
        for (name, value) in root.members() {
            prompt.name(&name);
            match &*name {
                _ if value.is_null() => {}
                "messages" => {
                    let messages = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    prompt.add(messages.saturating_mul(MESSAGE_TEMPLATE));
                    prompt.read("messages", value, false);
                }
                "tools" => prompt.tools(value),
                "input_embeds" => prompt.embeddings(value),
                // No text of the prompt.
                "model" | "user" | "stop" | "metadata" | "stream_options" | "options"
                | "logit_bias" | "allowed_token_ids" | "tool_choice" | "sampling_params" => {}
                // Chat completions describe the voice of the output here.
                "audio" if value.kind() == Kind::Object => prompt.read("", value, false),
                // Some parameters are texts, such as the labels of a classification.
                "parameters" => prompt.texts_of("", value),
                name if is_written(name) => prompt.written(name, value),
                name if matches!(value.kind(), Kind::String | Kind::Array | Kind::Object) => {
                    prompt.read(name, value, false);
                }
                _ => {}
            }
        }
        prompt
    }

    pub(super) const fn tokens(&self) -> u64 {
        let media = self.media.saturating_mul(MEDIUM);
        self.tokens.saturating_add(self.texts.estimate()).saturating_add(media)
    }

    /// Returns the most tokens that the prompt of a body of `bytes` can have. The upstream may read any
    /// member, and a token is at least a byte. Media are compressed, so their bytes bound nothing: a
    /// document of three kilobytes may have a hundred pages.
    pub(super) fn max(&self, bytes: usize) -> u64 {
        if self.has_external || self.media > 0 {
            return u64::MAX;
        }
        let counted = self.tokens.saturating_mul(4);
        self.text_bytes.saturating_add(counted).max(bytes as u64)
    }

    /// Returns a quarter of a body's bytes, with the flat cost of its media.
    pub(super) fn estimate_bytes(&self, bytes: usize) -> u64 {
        let rest = (bytes as u64).saturating_sub(self.blob_bytes);
        rest.div_ceil(4).saturating_add(self.media.saturating_mul(MEDIUM))
    }

    const fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str) {
        self.text_bytes = self.text_bytes.saturating_add(text.len() as u64);
        match self.tokenizer {
            Some(tokenizer) => self.add(tokenizer.count(text)),
            None => {
                self.texts.end();
                self.texts.feed(text.as_bytes());
            }
        }
    }

    const fn blob(&mut self, blob: &str) {
        self.blob_bytes = self.blob_bytes.saturating_add(blob.len() as u64);
    }

    const fn medium(&mut self) {
        self.media = self.media.saturating_add(1);
    }

    /// Counts a schema as it is written, with its names.
    fn schema(&mut self, node: Node<'_>) {
        self.text(str::from_utf8(node.raw()).unwrap_or_default());
    }

    /// Counts a value that the upstream may write into the prompt as it is, with the names in it.
    fn written(&mut self, name: &str, node: Node<'_>) {
        let escaped = memmem::find(node.raw(), b"\\u").is_some();
        self.write(name, node, !escaped && !holds_medium(name, node));
    }

    fn write(&mut self, name: &str, node: Node<'_>, plain: bool) {
        match node.kind() {
            Kind::Array => node.elements().for_each(|element| self.write(name, element, plain)),
            Kind::Object if plain => self.schema(node),
            Kind::Object if !is_medium(name) => {
                for (name, member) in node.members() {
                    self.text(&name);
                    self.write(&name, member, plain);
                }
            }
            _ => self.read(name, node, false),
        }
    }

    /// Counts a number. It is one token unless it is too long for that.
    fn number(&mut self, number: Node<'_>) {
        match str::from_utf8(number.raw()) {
            Ok(digits) if digits.len() > MAX_NUMBER => self.text(digits),
            _ => self.add(1),
        }
    }

    /// Counts the name of a member if it is long.
    fn name(&mut self, name: &str) {
        if name.len() > MAX_NAME {
            self.text(name);
        }
    }

    /// Counts schemas, and the settings of tools that the upstream runs itself.
    fn tools(&mut self, tools: Node<'_>) {
        if !tools.elements().any(is_hosted_tool) {
            return self.schema(tools);
        }
        self.has_external = true;
        for tool in tools.elements() {
            if !is_hosted_tool(tool) {
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

    /// Counts each row of numbers as the embedding of one token.
    fn embeddings(&mut self, rows: Node<'_>) {
        match rows.elements().next().map(Node::kind) {
            Some(Kind::Array) => rows.elements().for_each(|row| self.embeddings(row)),
            Some(Kind::Number) => self.add(1),
            _ => self.read("", rows, false),
        }
    }

    /// Counts the strings and numbers of a value. A string in a medium is its data, its address or
    /// text.
    fn read(&mut self, name: &str, node: Node<'_>, inside: bool) {
        match node.kind() {
            Kind::String => {
                if let Some(text) = node.as_str() {
                    self.string(name, &text, inside);
                }
            }
            Kind::Number => self.number(node),
            Kind::Array => node.elements().for_each(|element| self.read(name, element, inside)),
            // The depth of a document is bounded.
            Kind::Object if !inside && is_medium(name) => {
                self.medium();
                self.members(node, true);
            }
            Kind::Object => {
                let before = self.media;
                self.members(node, inside);
                let named = has_cache_key(node);
                if !inside && self.media == before && (named || is_part_of_medium(node)) {
                    // The part has an address, the id of a file or the key of a cache.
                    self.medium();
                    self.has_external |= named || has_address(node);
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, node: Node<'_>, inside: bool) {
        for (name, member) in node.members() {
            self.name(&name);
            match &*name {
                // The arguments of a tool count as they are written, with their names.
                "input" | "arguments" | "args" if !inside && member.kind() == Kind::Object => {
                    self.schema(member);
                }
                name if !inside && is_written(name) => self.written(name, member),
                name => self.read(name, member, inside),
            }
        }
    }

    /// Counts the strings of a value alone.
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
        self.has_external |= matches!(name, "file_id" | "file_url" | "file_uri" | "fileUri")
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
            // A short string costs less as a text.
            let short = text.len() < MIN_BASE64;
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
        } else if is_data_url(text) || is_base64(text) && (holds_base64(name) || has_magic(text)) {
            self.medium();
            self.blob(text);
        } else if name == "inputs" {
            self.with_pictures(text);
        } else {
            self.text(text);
        }
    }

    /// Counts a text with pictures. TGI reads those from Markdown: `![](data:image/png;base64,...)`.
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

/// Returns whether an upstream may write the value of a member into the prompt as it is: schemas, tools
/// and documents.
fn is_written(name: &str) -> bool {
    matches!(
        name,
        "functions"
            | "response_format"
            | "guided_json"
            | "json_schema"
            | "text_format"
            | "chat_template_kwargs"
            // OpenAI's responses (`text.format`, `mcp_list_tools`); Ollama.
            | "format"
            | "schema"
            | "tools"
            // Anthropic.
            | "output_config"
            | "output_format"
            | "input_schema"
            // vLLM; Gemini.
            | "structured_outputs"
            | "function_declarations"
            | "functionDeclarations"
            | "responseSchema"
            | "response_schema"
            | "responseJsonSchema"
            // Cohere, vLLM, Granite's chat template.
            | "documents"
    )
}
