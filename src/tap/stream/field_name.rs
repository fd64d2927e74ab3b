/// The fields of an event that this module reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FieldName {
    Data,
    Event,
    /// `id` or `retry`.
    Neutral,
    /// A field with the words of a failure. llama.cpp before October 2025 sends `error`
    /// (tools/server/utils.hpp, `server_sent_event`).
    Failure,
    /// Other names are ignored (WHATWG HTML section 9.2.6). They may be text between the events.
    Unknown,
}

impl FieldName {
    pub(super) fn of(name: &[u8]) -> Self {
        let is = |word: &&[u8]| name.eq_ignore_ascii_case(word);
        match name {
            b"data" => Self::Data,
            b"event" => Self::Event,
            b"id" | b"retry" => Self::Neutral,
            _ if FAILURES.iter().any(is) => Self::Failure,
            _ => Self::Unknown,
        }
    }
}

const FAILURES: [&[u8]; 7] =
    [b"error", b"exception", b"fail", b"failure", b"fatal", b"abort", b"timeout"];
