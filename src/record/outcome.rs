use http::StatusCode;

use crate::{
    body::BodyEnd,
    context::{CacheOutcome, Outcome, StreamEnd},
    rejection::Refusal,
};

/// How a request ended, as every rendering of its record says it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// `complete`: the response was passed on to its end.
    Complete,
    /// `rejected`: a layer of this crate rejected the request.
    Rejected,
    /// `upstream_error`: the upstream was not reached, responded with 5xx, or broke off or failed in
    /// the body.
    UpstreamError,
    /// `timed_out`: the upstream or the client's body exceeded a deadline.
    TimedOut,
    /// `cancelled`: the client left before the end, or a layer outside gave the request up. nginx has
    /// status 499 for it.
    Cancelled,
    /// `failed`: the service failed, or its body did, without a request to an upstream.
    Failed,
    /// `panicked`: the service or its body panicked.
    Panicked,
}

impl RequestOutcome {
    /// Every outcome, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::Complete,
        Self::Rejected,
        Self::UpstreamError,
        Self::TimedOut,
        Self::Cancelled,
        Self::Failed,
        Self::Panicked,
    ];

    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::UpstreamError => "upstream_error",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
        }
    }
}

/// The facts that the outcome follows from. Those of the context alone would miss a client that leaves.
pub(crate) struct Ends<'a> {
    pub(crate) body: BodyEnd,
    pub(crate) panicked: bool,
    pub(crate) status: Option<StatusCode>,
    pub(crate) outcome: &'a Outcome,
    pub(crate) timed_out: bool,
}

impl RequestOutcome {
    pub(crate) fn of(ends: &Ends<'_>) -> Self {
        if ends.panicked {
            return Self::Panicked;
        }
        if ends.body == BodyEnd::Cancelled {
            return Self::Cancelled;
        }
        if let Some(slug) = ends.outcome.rejection {
            return Self::of_rejection(slug);
        }
        let is_server_error = ends.status.is_some_and(|status| status.is_server_error());
        let broke = ends.body == BodyEnd::Error
            || is_server_error
            || matches!(ends.outcome.stream_end, Some(StreamEnd::Failed | StreamEnd::Cut));
        // A follower shares the call of another request.
        let was_sent =
            ends.outcome.attempts > 0 || ends.outcome.cache == Some(CacheOutcome::Collapsed);
        match (broke, was_sent) {
            (false, _) => Self::Complete,
            (true, _) if ends.timed_out => Self::TimedOut,
            (true, true) => Self::UpstreamError,
            (true, false) => Self::Failed,
        }
    }

    fn of_rejection(slug: &str) -> Self {
        let is_one_of = |refusals: &[Refusal]| refusals.iter().any(|own| own.slug() == slug);
        if is_one_of(&[Refusal::UpstreamTimeout, Refusal::PayloadTimeout]) {
            Self::TimedOut
        } else if is_one_of(&[
            Refusal::UpstreamUnavailable,
            Refusal::InvalidUpstreamResponse,
            Refusal::ModelLoading,
        ]) {
            Self::UpstreamError
        } else {
            Self::Rejected
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_one_outcome() {
        let complete = Outcome::default();
        let sent = Outcome { attempts: 1, ..Outcome::default() };
        let cut = Outcome { stream_end: Some(StreamEnd::Cut), ..sent.clone() };
        let rejected =
            |refusal: Refusal| Outcome { rejection: Some(refusal.slug()), ..Outcome::default() };
        let of = |body, status: u16, outcome: &Outcome| {
            let status = StatusCode::from_u16(status).ok();
            RequestOutcome::of(&Ends { body, panicked: false, status, outcome, timed_out: false })
        };
        use BodyEnd::{Cancelled, Complete, Error, Trailers};
        assert_eq!(of(Complete, 200, &complete), RequestOutcome::Complete);
        assert_eq!(of(Trailers, 200, &sent), RequestOutcome::Complete);
        assert_eq!(of(Complete, 404, &sent), RequestOutcome::Complete);
        assert_eq!(of(Complete, 503, &sent), RequestOutcome::UpstreamError);
        assert_eq!(of(Complete, 503, &complete), RequestOutcome::Failed);
        assert_eq!(of(Error, 200, &sent), RequestOutcome::UpstreamError);
        assert_eq!(of(Error, 200, &complete), RequestOutcome::Failed);
        assert_eq!(of(Complete, 200, &cut), RequestOutcome::UpstreamError);
        let shared = Outcome { cache: Some(CacheOutcome::Collapsed), ..Outcome::default() };
        assert_eq!(of(Error, 200, &shared), RequestOutcome::UpstreamError);
        assert_eq!(of(Cancelled, 200, &cut), RequestOutcome::Cancelled);
        for (refusal, outcome) in [
            (Refusal::Throttled, RequestOutcome::Rejected),
            (Refusal::UpstreamTokenUnavailable, RequestOutcome::Rejected),
            (Refusal::PayloadTimeout, RequestOutcome::TimedOut),
            (Refusal::UpstreamTimeout, RequestOutcome::TimedOut),
            (Refusal::UpstreamUnavailable, RequestOutcome::UpstreamError),
        ] {
            let status = refusal.status().as_u16();
            assert_eq!(of(Complete, status, &rejected(refusal)), outcome);
            assert_eq!(of(Cancelled, status, &rejected(refusal)), RequestOutcome::Cancelled);
        }
        let ends = |panicked, timed_out| {
            let status = Some(StatusCode::OK);
            RequestOutcome::of(&Ends { body: Error, panicked, status, outcome: &sent, timed_out })
        };
        assert_eq!(ends(false, true), RequestOutcome::TimedOut);
        assert_eq!(ends(true, true), RequestOutcome::Panicked);
    }
}
