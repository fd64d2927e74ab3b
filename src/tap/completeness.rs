use super::document::FinishReasons;
#[cfg(feature = "cache")]
use super::document::JsonScanner;

/// Whether a response is complete by its own words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Completeness {
    /// The response shows no sign against it.
    Complete,
    /// The output reached a limit of the request or of the server.
    Limited,
    /// The response does not say whether a limit has cut it.
    OpenEnded,
    /// The response reports a failure.
    Failed,
    /// The response does not say that it has ended, or it ended for an unknown reason.
    Unproven,
    /// Responses of this form do not say how they ended.
    Unstated,
}

impl Completeness {
    pub(super) const fn of(reasons: FinishReasons) -> Self {
        if reasons.has(FinishReasons::FAILED) {
            Self::Failed
        } else if reasons.has(FinishReasons::OTHER) {
            Self::Unproven
        } else if reasons.has(FinishReasons::LIMIT) {
            Self::Limited
        } else {
            Self::Complete
        }
    }

    /// Judges a document that is the whole body.
    #[cfg(feature = "cache")]
    pub(super) fn of_document(scanner: &JsonScanner) -> Self {
        match scanner.finish() {
            Some(facts) if facts.has_failed() => Self::Failed,
            Some(facts) if !facts.is_unfinished() => Self::of(facts.finish_reasons()),
            _ => Self::Unproven,
        }
    }

    /// Judges a body that may be JSON under another media type.
    #[cfg(feature = "cache")]
    pub(crate) fn of_body(body: &[u8]) -> Self {
        let mut scanner = JsonScanner::new();
        scanner.feed(body);
        Self::of_document(&scanner)
    }
}
