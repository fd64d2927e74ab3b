//! `cache-status` (RFC 9211).

use std::io::Write as _;

use http::{HeaderName, HeaderValue, StatusCode};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What this cache is called.
const NAME: &str = "tower-inference";

/// How a request was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// From what was kept. Seconds for which it is still fresh; negative once it is stale.
    Hit { ttl: i64 },
    /// By the upstream.
    Forwarded {
        why: Forward,
        /// The response has been stored. One that is still under way has not.
        stored: bool,
        /// Together with another request that had gone before.
        collapsed: bool,
    },
}

/// Why a request was not answered from what is kept (section 2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forward {
    /// It is not to be.
    Bypass,
    /// There was nothing.
    Miss,
    /// The request asked for a new answer.
    Request,
    /// What there was is stale.
    Stale,
}

impl Outcome {
    /// The field's member of this cache. Never with `key` or `detail`, which may hold what somebody
    /// asked.
    pub(super) fn field(self) -> HeaderValue {
        if matches!(self, Self::Forwarded { why: Forward::Bypass, .. }) {
            // What most requests are told costs nothing.
            return HeaderValue::from_static("tower-inference; fwd=bypass");
        }
        // Long enough for the longest of all.
        let mut buffer = [0; 64];
        let mut rest = &mut buffer[..];
        let written = match self {
            Self::Hit { ttl } => write!(rest, "{NAME}; hit; ttl={ttl}"),
            Self::Forwarded { why, stored, collapsed } => {
                let stored = if stored { "; stored" } else { "" };
                let collapsed = if collapsed { "; collapsed" } else { "" };
                write!(rest, "{NAME}; fwd={}{stored}{collapsed}", why.token())
            }
        };
        let left = rest.len();
        let field = buffer.get(..buffer.len() - left).filter(|_| written.is_ok());
        let field = field.and_then(|field| HeaderValue::from_bytes(field).ok());
        field.unwrap_or(HeaderValue::from_static(NAME))
    }
}

impl Forward {
    const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            // `uri-miss` would be wrong: the key has more than the URI.
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// Whether what was kept may be given in place of an answer with this status (RFC 5861 section 4).
pub(super) fn is_failure(status: StatusCode) -> bool {
    [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_as_rfc_9211_has_them() {
        let of = |outcome: Outcome| outcome.field().to_str().unwrap().to_owned();
        assert_eq!(of(Outcome::Hit { ttl: 376 }), "tower-inference; hit; ttl=376");
        assert_eq!(of(Outcome::Hit { ttl: -5 }), "tower-inference; hit; ttl=-5");
        let forwarded = |why, stored, collapsed| of(Outcome::Forwarded { why, stored, collapsed });
        assert_eq!(forwarded(Forward::Miss, true, false), "tower-inference; fwd=miss; stored");
        assert_eq!(forwarded(Forward::Miss, false, true), "tower-inference; fwd=miss; collapsed");
        assert_eq!(forwarded(Forward::Bypass, false, false), "tower-inference; fwd=bypass");
        assert_eq!(
            forwarded(Forward::Request, true, false),
            "tower-inference; fwd=request; stored"
        );
        assert_eq!(forwarded(Forward::Stale, false, false), "tower-inference; fwd=stale");
    }
}
