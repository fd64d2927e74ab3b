use metrics::SharedString;

use super::label::Label;
use crate::record::{ErrorType, Record, RequestOutcome};

/// How a request ended, as the labels say it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct End {
    /// 0: no head.
    status: u16,
    outcome: RequestOutcome,
    refusal: Option<&'static str>,
    error: Option<ErrorType>,
    upstream_error: Option<ErrorType>,
}

impl End {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self {
            status: record.status().map_or(0, |status| status.as_u16()),
            outcome: record.outcome(),
            refusal: record.refusal(),
            error: record.error_type(),
            upstream_error: record.upstream_error_type(),
        }
    }

    /// Returns whether the upstream, or the cache for it, served the request.
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.outcome, RequestOutcome::Complete) && matches!(self.status, 200..=299)
    }

    /// Returns the labels of the whole request.
    pub(super) fn values(&self) -> [(Label, SharedString); 4] {
        let text = SharedString::const_str;
        [
            (Label::Status, text(self.status_class())),
            (Label::Outcome, text(self.outcome.as_str())),
            (Label::Refusal, text(self.refusal.unwrap_or_default())),
            error(self.error),
        ]
    }

    /// Returns the labels of its calls to upstreams.
    pub(super) fn upstream_values(&self) -> [(Label, SharedString); 1] {
        [error(self.upstream_error)]
    }

    const fn status_class(&self) -> &'static str {
        match self.status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            0 => "",
            _ => "other",
        }
    }
}

/// Returns `error.type` of OpenTelemetry, which a success does not have.
fn error(error: Option<ErrorType>) -> (Label, SharedString) {
    let text = match &error {
        None => SharedString::const_str(""),
        Some(ErrorType::Word(word)) => SharedString::const_str(word),
        Some(status) => SharedString::from_owned(status.as_str().to_owned()),
    };
    (Label::ErrorType, text)
}
