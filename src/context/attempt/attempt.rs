use std::{sync::Arc, time::Duration};

use http::StatusCode;

use crate::context::{trace::SpanId, usage::Usage};

/// One time that a request was sent to an upstream.
///
/// [`Record::attempt_list`](crate::record::Record::attempt_list) has the attempts of a request, in their
/// order. [`Outcome::abandoned`](crate::context::Outcome::abandoned) has those that another one followed. Times,
/// the origin and the ids are there when the access log records the request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The name of the stage or target.
    pub target: Option<Arc<str>>,
    /// The origin that the request was sent to.
    pub upstream: Option<Arc<str>>,
    /// The provider as OpenTelemetry names it in `gen_ai.provider.name`, by the profile of the stage.
    pub provider: Option<&'static str>,
    /// The status of the upstream, if its head had arrived.
    pub status: Option<StatusCode>,
    /// The id that the upstream gave the request, from the first of these headers of its response:
    /// `x-request-id`, `request-id`, `inference-id`, `x-amzn-requestid`, `apigw-requestid`,
    /// `apim-request-id`, `x-amz-cf-id`, `cf-ray`.
    ///
    /// Only 1 to 128 visible ASCII characters are an id.
    pub upstream_request_id: Option<Arc<str>>,
    /// The parent id in the `traceparent` that was sent.
    pub span_id: Option<SpanId>,
    /// The time from the arrival of the request to the attempt.
    pub started_after: Option<Duration>,
    /// The time from the request to the end of the response body or to the failure.
    pub duration: Option<Duration>,
    /// Why another attempt followed. `None` for the last one, and for one whose successor a layer of
    /// your own has sent.
    pub abandoned: Option<AbandonReason>,
    /// The token counts that the upstream reported.
    pub usage: Option<Usage>,
}

/// Why an attempt was followed by another one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AbandonReason {
    /// The upstream rejected the gateway's token (401). Nothing was computed.
    TokenRejected,
    /// No connection, or it ended before the head. Nothing counts as computed.
    Unreachable,
    /// The upstream is busy or has failed: 429, 5xx or the 400 of an Inference Endpoint that is paused.
    /// Nothing counts as computed unless usage was reported.
    Status,
    /// No content arrived in time.
    Timeout,
    /// The stream reported an error before any content.
    ErrorEvent,
    /// The body broke off before any content.
    Broken,
}

impl AbandonReason {
    /// Every reason, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::TokenRejected,
        Self::Unreachable,
        Self::Status,
        Self::Timeout,
        Self::ErrorEvent,
        Self::Broken,
    ];

    /// Returns the stable name, such as `token_rejected`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenRejected => "token_rejected",
            Self::Unreachable => "unreachable",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::ErrorEvent => "error_event",
            Self::Broken => "broken",
        }
    }
}

impl Attempt {
    /// Creates an attempt that another one followed, without status and usage.
    #[must_use]
    pub fn abandoned(target: Arc<str>, reason: AbandonReason) -> Self {
        Self { target: Some(target), abandoned: Some(reason), ..Self::default() }
    }

    /// Returns whether the upstream may have computed without reporting how much.
    #[cfg(feature = "throttle")]
    pub(crate) const fn cost_is_unknown(&self) -> bool {
        let waited = matches!(
            self.abandoned,
            Some(AbandonReason::Timeout | AbandonReason::ErrorEvent | AbandonReason::Broken)
        );
        waited && self.usage.is_none()
    }
}
