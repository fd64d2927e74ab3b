use metrics::SharedString;

use super::label::Label;
use crate::record::{Record, RequestOutcome};

/// How a request ended, as the labels say it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct End {
    /// 0: no head.
    status: u16,
    outcome: RequestOutcome,
    refusal: Option<&'static str>,
}

impl End {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self {
            status: record.status().map_or(0, |status| status.as_u16()),
            outcome: record.outcome(),
            refusal: record.refusal(),
        }
    }

    /// Returns whether the upstream, or the cache for it, served the request.
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.outcome, RequestOutcome::Complete) && matches!(self.status, 200..=299)
    }

    pub(super) fn values(&self) -> [(Label, SharedString); 4] {
        let text = SharedString::const_str;
        [
            (Label::Status, text(self.status_class())),
            (Label::Outcome, text(self.outcome.as_str())),
            (Label::Refusal, text(self.refusal.unwrap_or_default())),
            (Label::ErrorType, self.error_type()),
        ]
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

    /// Returns `error.type` of OpenTelemetry, which successful requests do not have.
    fn error_type(&self) -> SharedString {
        match (self.refusal, self.outcome) {
            (Some(slug), _) => SharedString::const_str(slug),
            (None, RequestOutcome::Complete) => match self.status {
                400..=599 => SharedString::from_owned(self.status.to_string()),
                _ => SharedString::const_str(""),
            },
            (None, outcome) => SharedString::const_str(outcome.as_str()),
        }
    }
}
