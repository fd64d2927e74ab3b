/// The types of events that end a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum EventType {
    #[default]
    Other,
    Error,
    Failed,
    /// The response reached its limit or a filter. Its stream is complete.
    Incomplete,
    Completed,
    /// Another event that a known server sends.
    Known,
    /// Keeps the connection open.
    Ping,
}

/// How the names of events start: OpenAI's responses, Anthropic, Cohere, OpenAI's sound and images.
const FAMILIES: [&[u8]; 13] = [
    b"response.",
    b"message",
    b"content",
    b"tool",
    b"citation",
    b"stream-",
    b"text-",
    b"search-",
    b"debug",
    b"speech.",
    b"transcript.",
    b"image_",
    b"conversation.",
];

impl EventType {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b"exception" | b"abort" | b"aborted" | b"fail" | b"failed" | b"failure" | b"fatal"
            | b"timeout" => Self::Error,
            _ if name.ends_with(b"error") => Self::Error,
            b"response.failed" | b"response.cancelled" => Self::Failed,
            b"response.incomplete" => Self::Incomplete,
            // OpenAI's responses; Anthropic; Cohere's second and first version.
            b"response.completed" | b"message_stop" | b"message-end" | b"stream-end" => {
                Self::Completed
            }
            // A tool of OpenAI's responses may fail within a response that succeeds.
            _ if name.ends_with(b".failed") && !name.starts_with(b"response.") => Self::Failed,
            b"ping" | b"keepalive" | b"keep-alive" | b"heartbeat" => Self::Ping,
            _ if FAMILIES.iter().any(|family| name.starts_with(family)) => Self::Known,
            _ => Self::Other,
        }
    }
}
