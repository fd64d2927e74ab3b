use std::io::Write as _;

use http::{HeaderName, HeaderValue, StatusCode};

use super::bypass::BypassReason;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The name of this cache.
const NAME: &str = "tower-inference";

/// A value of `cache-status` (RFC 9211).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CacheStatus {
    /// A hit, with the seconds until it is stale. They are negative afterwards.
    Hit { ttl: i64 },
    /// An upstream response.
    Forwarded {
        reason: ForwardReason,
        /// The response is already stored. A response in flight is not.
        stored: bool,
        /// The response of a shared call that another request has begun.
        collapsed: bool,
    },
}

/// The reason that a request goes upstream (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ForwardReason {
    /// The cache is bypassed.
    Bypass(BypassReason),
    /// There is no entry.
    Miss,
    /// The request asks for a new response.
    Request,
    /// The entry is stale.
    Stale,
}

impl CacheStatus {
    /// Returns the header's member for this cache. It never has `key`, which could reveal a request.
    pub(crate) fn header_value(self) -> HeaderValue {
        if let Self::Forwarded { reason: ForwardReason::Bypass(reason), .. } = self {
            // The usual values take no allocation.
            return reason.header_value();
        }
        // Longer than the longest value.
        let mut buffer = [0; 64];
        let mut rest = &mut buffer[..];
        let written = match self {
            Self::Hit { ttl } => write!(rest, "{NAME}; hit; ttl={ttl}"),
            Self::Forwarded { reason, stored, collapsed } => {
                let stored = if stored { "; stored" } else { "" };
                let collapsed = if collapsed { "; collapsed" } else { "" };
                write!(rest, "{NAME}; fwd={}{stored}{collapsed}", reason.token())
            }
        };
        let left = rest.len();
        let field = buffer.get(..buffer.len() - left).filter(|_| written.is_ok());
        let field = field.and_then(|field| HeaderValue::from_bytes(field).ok());
        field.unwrap_or(HeaderValue::from_static(NAME))
    }
}

impl ForwardReason {
    const fn token(self) -> &'static str {
        match self {
            Self::Bypass(_) => "bypass",
            // The key has more than the URI, so `uri-miss` would be wrong.
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// Returns whether a stale entry may replace a response with this status (RFC 5861 section 4).
pub(crate) fn is_failure(status: StatusCode) -> bool {
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
    fn values_follow_rfc_9211() {
        let of = |status: CacheStatus| status.header_value().to_str().unwrap().to_owned();
        assert_eq!(of(CacheStatus::Hit { ttl: 376 }), "tower-inference; hit; ttl=376");
        assert_eq!(of(CacheStatus::Hit { ttl: -5 }), "tower-inference; hit; ttl=-5");
        let forwarded =
            |reason, stored, collapsed| of(CacheStatus::Forwarded { reason, stored, collapsed });
        assert_eq!(
            forwarded(ForwardReason::Miss, true, false),
            "tower-inference; fwd=miss; stored"
        );
        assert_eq!(
            forwarded(ForwardReason::Miss, false, true),
            "tower-inference; fwd=miss; collapsed"
        );
        assert_eq!(
            forwarded(ForwardReason::Bypass(BypassReason::Stateful), false, false),
            "tower-inference; fwd=bypass; detail=stateful"
        );
        assert_eq!(
            forwarded(ForwardReason::Request, true, false),
            "tower-inference; fwd=request; stored"
        );
        assert_eq!(forwarded(ForwardReason::Stale, false, false), "tower-inference; fwd=stale");
    }
}
