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
}

impl EventType {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b"error" | b"exception" => Self::Error,
            b"response.failed" | b"response.cancelled" => Self::Failed,
            b"response.incomplete" => Self::Incomplete,
            // OpenAI's responses; Anthropic; Cohere's second and first version.
            b"response.completed" | b"message_stop" | b"message-end" | b"stream-end" => {
                Self::Completed
            }
            // A tool of OpenAI's responses may fail within a response that succeeds.
            _ if name.ends_with(b".failed") && !name.starts_with(b"response.") => Self::Failed,
            _ => Self::Other,
        }
    }
}
