use super::measure::{
    AROUND_COUNTS, TEXTS, beyond, characters, images, present, too_many, too_many_choices,
};
use crate::{
    payload::{Document, Kind, Node, Pointer},
    rejection::Violation,
};

/// Limits on the size of chat requests in addition to their schema. Nothing is limited by default.
///
/// A value that cannot be read as within a limit is rejected. The string `"3"` does not bypass a
/// limit on a number. Numbers are compared by value, so `3.0` is 3. `null` counts as absent, as in
/// OpenAI's API. A member whose name differs only in case from a limited one is rejected, because
/// some upstreams (Go's `encoding/json`) ignore case.
///
/// ```
/// use tower_inference::{payload::Document, schema::ChatLimits};
///
/// let limits = ChatLimits::new().max_messages(2).max_choices(1);
/// let document = Document::parse(r#"{"messages": [{"role": "user", "content": "hi"}], "n": 4}"#)?;
/// let violations = limits.check(&document);
/// assert_eq!(violations.len(), 1);
/// assert_eq!(violations[0].pointer, "/n");
/// assert_eq!(violations[0].keyword, "n");
/// assert_eq!(violations[0].detail, "must be an integer of at most 1");
/// # Ok::<(), tower_inference::payload::JsonError>(())
/// ```
///
/// # Caveats
///
/// The limits apply to chat completions (`messages`), responses (`input`, `instructions`),
/// completions (`prompt`, `suffix`) and TGI (`inputs`). Each of Vertex AI's `instances` is checked
/// as a request of its own.
///
/// Content that the upstream adds is not counted:
///
/// - earlier turns by `previous_response_id` or `conversation`
/// - stored prompts (a `prompt` that is an object)
/// - files by id
/// - images in links of a text, which TGI reads from `![](https://…)`
/// - prompts of token ids
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChatLimits {
    messages: Option<usize>,
    characters: Option<usize>,
    images: Option<usize>,
    tools: Option<usize>,
    n: Option<u64>,
    streaming: Streaming,
}

/// Whether a chat request may request a stream.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Streaming {
    /// With or without a stream.
    #[default]
    Either,
    /// `stream` must be `true`.
    Required,
    /// `stream` must be `false`, `null` or absent.
    Forbidden,
}

impl ChatLimits {
    /// Creates limits that permit everything.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            messages: None,
            characters: None,
            images: None,
            tools: None,
            n: None,
            streaming: Streaming::Either,
        }
    }

    /// Sets the maximum number of messages: elements of `messages` and `input`. A string as `input`
    /// is one message. Unlimited by default.
    #[must_use]
    pub const fn max_messages(mut self, max: usize) -> Self {
        self.messages = Some(max);
        self
    }

    /// Sets the maximum number of characters of text in Unicode scalar values. Unlimited by
    /// default.
    ///
    /// All strings in `messages`, `input`, `inputs`, `instructions`, `prompt` and `suffix` count.
    /// They include contents, earlier responses, tool arguments, tool results and names.
    ///
    /// Two kinds of members do not count:
    ///
    /// - words of at most 64 characters in `role`, `type`, `id`, `tool_call_id`, `call_id` and
    ///   `status`
    /// - media in `image_url`, `image`, `input_audio`, `audio`, `video_url`, `video`, `file_data`
    ///   and `file_url`
    #[must_use]
    pub const fn max_characters(mut self, max: usize) -> Self {
        self.characters = Some(max);
        self
    }

    /// Sets the maximum number of images in `messages`, `input` and `inputs`. An image is an object
    /// with the type or a member `image_url`, `input_image` or `image`. Unlimited by default.
    #[must_use]
    pub const fn max_images(mut self, max: usize) -> Self {
        self.images = Some(max);
        self
    }

    /// Sets the maximum number of tools: elements of `tools` and of the older `functions`.
    /// Unlimited by default.
    #[must_use]
    pub const fn max_tools(mut self, max: usize) -> Self {
        self.tools = Some(max);
        self
    }

    /// Sets the maximum number of choices: `n`, `best_of` and `num_return_sequences`, also in
    /// `parameters` and `sampling_params`. Unlimited by default.
    #[must_use]
    pub const fn max_choices(mut self, max: u64) -> Self {
        self.n = Some(max);
        self
    }

    /// Sets whether a stream may be requested. Defaults to [`Streaming::Either`].
    ///
    /// A stream is requested beside Vertex AI's `instances`, so a `stream` in one of them is not
    /// checked.
    #[must_use]
    pub const fn streaming(mut self, streaming: Streaming) -> Self {
        self.streaming = streaming;
        self
    }

    /// Returns at most one violation of each limit in the order of the setters. Only the first of
    /// several instances with a violation is reported.
    ///
    /// | keyword | violation |
    /// |---|---|
    /// | `messages`, `characters`, `images`, `tools`, `n`, `streaming` | the value is beyond this limit |
    /// | `name` | a member differs only in case from one that any of the limits reads; reported alone |
    /// | `type` | the body is not an object; reported alone |
    ///
    /// `max_characters` and `max_images` cost one pass over the document each.
    #[must_use]
    pub fn check(&self, document: &Document) -> Vec<Violation> {
        let root = document.root();
        if *self == Self::new() {
            return Vec::new();
        }
        let found = self.check_request(root);
        if !found.is_empty() {
            return found;
        }
        let instances = present(root, "instances").map(Node::elements).into_iter().flatten();
        for (index, instance) in instances.enumerate() {
            let mut found = self.check_instance(instance);
            if !found.is_empty() {
                for violation in &mut found {
                    violation.pointer.insert_str(0, &format!("/instances/{index}"));
                }
                return found;
            }
        }
        Vec::new()
    }

    fn check_instance(&self, instance: Node<'_>) -> Vec<Violation> {
        if instance.kind() == Kind::Object {
            // A stream is requested next to the instances.
            return Self { streaming: Streaming::Either, ..self.clone() }.check_request(instance);
        }
        let beyond = self.characters.filter(|at_most| characters("", instance) > *at_most);
        let violation = |at_most| {
            let detail = format!("must not have more than {at_most} characters of text in all");
            Violation::new("", "characters", detail)
        };
        beyond.map(violation).into_iter().collect()
    }

    fn check_request(&self, root: Node<'_>) -> Vec<Violation> {
        if root.kind() != Kind::Object {
            return vec![Violation::new("", "type", "must be an object")];
        }
        let all = |limit: &'static str, name: &str, at_most: usize, what: &str| {
            let detail = format!("must not have more than {at_most} {what} in all");
            Violation::new(format!("/{name}"), limit, detail)
        };
        let twins = LIMITED.iter().flat_map(|own| {
            let others = root.alike(own).filter(|(name, _)| !name.says(own));
            others.map(|(name, _)| name)
        });
        if let Some(twin) = twins.min_by_key(|name| name.index()) {
            let pointer = Pointer::new([twin.string()]).to_string();
            let detail = "differs only in case from a limited member";
            return vec![Violation::new(pointer, "name", detail)];
        }
        let checks = [
            self.messages
                .and_then(|at_most| too_many(root, "messages", ["messages", "input"], at_most)),
            self.characters.and_then(|at_most| {
                let name = beyond(root, &TEXTS, at_most, characters)?;
                Some(all("characters", name, at_most, "characters of text"))
            }),
            self.images.and_then(|at_most| {
                let name = beyond(root, &["messages", "input", "inputs"], at_most, images)?;
                Some(all("images", name, at_most, "images"))
            }),
            self.tools.and_then(|at_most| too_many(root, "tools", ["tools", "functions"], at_most)),
            self.n.and_then(|at_most| {
                let inside = |around: &str| {
                    let name = too_many_choices(present(root, around)?, at_most)?;
                    Some(format!("/{around}/{name}"))
                };
                let pointer = too_many_choices(root, at_most).map(|name| format!("/{name}"));
                let pointer = pointer.or_else(|| AROUND_COUNTS.into_iter().find_map(inside))?;
                let detail = format!("must be an integer of at most {at_most}");
                Some(Violation::new(pointer, "n", detail))
            }),
            self.check_streaming(root),
        ];
        checks.into_iter().flatten().collect()
    }

    fn check_streaming(&self, root: Node<'_>) -> Option<Violation> {
        let stream = present(root, "stream");
        let asked_for = stream.and_then(Node::as_bool);
        let detail = match self.streaming {
            Streaming::Required if asked_for != Some(true) => "must be true",
            Streaming::Forbidden if stream.is_some() && asked_for != Some(false) => "must be false",
            _ => return None,
        };
        Some(Violation::new("/stream", "streaming", detail))
    }
}

/// Members of a body that a limit applies to.
const LIMITED: [&str; 15] = [
    "best_of",
    "functions",
    "input",
    "inputs",
    "instances",
    "instructions",
    "messages",
    "n",
    "num_return_sequences",
    "parameters",
    "prompt",
    "sampling_params",
    "stream",
    "suffix",
    "tools",
];
