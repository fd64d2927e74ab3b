use super::{
    bounded_word::{BoundedWord, Word},
    finish_reasons::FinishReasons,
};

/// The progress of a response by its member `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseStatus {
    Ended(FinishReasons),
    /// Ended for the reason in `incomplete_details`.
    Incomplete,
    Running,
    /// A server reports success of the request.
    Success,
    /// An unknown word.
    Unknown,
}

impl ResponseStatus {
    pub(crate) fn of(word: Word<'_>) -> Self {
        let mut buffer = [0; BoundedWord::MAX];
        match word.folded(&mut buffer) {
            b"incomplete" => Self::Incomplete,
            b"in_progress" | b"queued" | b"starting" | b"processing" | b"pending" | b"running" => {
                Self::Running
            }
            b"" | b"ok" | b"success" | b"200" | b"201" => Self::Success,
            _ => match FinishReasons::of(word) {
                reason @ (FinishReasons::FAILED | FinishReasons::FINISHED) => Self::Ended(reason),
                _ if matches!(word.as_bytes(), b"finished" | b"done") => {
                    Self::Ended(FinishReasons::FINISHED)
                }
                _ => Self::Unknown,
            },
        }
    }
}
