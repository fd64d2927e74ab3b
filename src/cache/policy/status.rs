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
        let mut text = SmallText::new();
        text.add(NAME.as_bytes());
        match self {
            Self::Hit { ttl } => {
                text.add(b"; hit; ttl=");
                if ttl < 0 {
                    text.add(b"-");
                }
                text.add_number(ttl.unsigned_abs());
            }
            Self::Forwarded { reason, stored, collapsed } => {
                text.add(b"; fwd=");
                text.add(reason.token().as_bytes());
                if stored {
                    text.add(b"; stored");
                }
                if collapsed {
                    text.add(b"; collapsed");
                }
            }
        }
        text.header_value().unwrap_or(HeaderValue::from_static(NAME))
    }
}

/// Returns the value of `age` (RFC 9111 section 5.1).
pub(crate) fn age_value(seconds: u64) -> HeaderValue {
    let mut text = SmallText::new();
    text.add_number(seconds);
    text.header_value().unwrap_or(HeaderValue::from_static("0"))
}

/// The text of a header value, which takes one allocation and no formatter.
struct SmallText {
    bytes: [u8; 64],
    length: usize,
}

impl SmallText {
    const fn new() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }

    /// Adds a part. No value is longer than the buffer.
    fn add(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(part);
            self.length = end;
        }
    }

    fn add_number(&mut self, mut number: u64) {
        // The last digit comes first.
        let mut digits = [0; 20];
        let mut left = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            left -= 1;
            if number == 0 {
                break;
            }
        }
        self.add(digits.get(left..).unwrap_or_default());
    }

    fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.bytes.get(..self.length)?).ok()
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
        for seconds in [0, 7, 10, 1_000_000, u64::MAX] {
            assert_eq!(age_value(seconds), seconds.to_string());
        }
        assert_eq!(of(CacheStatus::Hit { ttl: 376 }), "tower-inference; hit; ttl=376");
        assert_eq!(of(CacheStatus::Hit { ttl: -5 }), "tower-inference; hit; ttl=-5");
        let longest = of(CacheStatus::Hit { ttl: i64::MIN });
        assert_eq!(longest, format!("tower-inference; hit; ttl={}", i64::MIN));
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
