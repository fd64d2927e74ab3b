//! `error.type` of OpenTelemetry: a failure in one word of a bounded set.

use http::StatusCode;

use super::{outcome::RequestOutcome, record::Record};

/// The kind of a failure.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ErrorType {
    /// The slug of a rejection or the name of an outcome.
    Word(&'static str),
    /// A status of 4xx or 5xx.
    Status(StatusCode),
}

impl ErrorType {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Status(status) => status.as_str(),
        }
    }

    fn of_status(status: Option<StatusCode>) -> Option<Self> {
        let failed = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        status.filter(failed).map(Self::Status)
    }
}

impl Record<'_> {
    /// Returns the failure of the request as its client sees it: the slug of the rejection, the outcome
    /// or the status.
    pub(crate) fn error_type(&self) -> Option<ErrorType> {
        self.failure().or_else(|| ErrorType::of_status(self.status()))
    }

    /// Returns the failure of the calls to upstreams: the status of the last one, the slug of the
    /// rejection or the outcome.
    pub(crate) fn upstream_error_type(&self) -> Option<ErrorType> {
        ErrorType::of_status(self.upstream_status()).or_else(|| self.failure())
    }

    fn failure(&self) -> Option<ErrorType> {
        match (self.refusal(), self.outcome()) {
            (Some(slug), _) => Some(ErrorType::Word(slug)),
            (None, RequestOutcome::Complete) => None,
            (None, outcome) => Some(ErrorType::Word(outcome.as_str())),
        }
    }
}
