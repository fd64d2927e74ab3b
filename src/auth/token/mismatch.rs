//! Rejected tokens that may show a wrong setting.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::printable::Printable;

/// Counts of requests that [`AuthLayer`](crate::auth::AuthLayer) rejected for a reason that may be a
/// wrong setting. Returned by [`AuthLayer::counts`](crate::auth::AuthLayer::counts).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuthCounts {
    /// Requests whose token has a valid signature and another issuer.
    pub other_issuer: u64,
    /// Requests whose token has a valid signature and no accepted audience.
    pub other_audience: u64,
    /// Requests whose token no key verifies. Forged tokens are among them.
    pub unverified: u64,
}

impl AuthCounts {
    /// Returns the sums.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            other_issuer: self.other_issuer + other.other_issuer,
            other_audience: self.other_audience + other.other_audience,
            unverified: self.unverified + other.unverified,
        }
    }
}

/// Logs the first mismatch of each claim, until a token has the expected issuer and audience. Later
/// mismatches are counted, because a token for another service is then the likelier cause.
#[derive(Debug, Default)]
pub(super) struct Mismatches {
    accepted: AtomicBool,
    issuer: AtomicU64,
    audience: AtomicU64,
    unverified: AtomicU64,
}

impl Mismatches {
    /// Notes that the settings fit the issuer and the audience of a token.
    pub(super) fn accept(&self) {
        self.accepted.store(true, Relaxed);
    }

    pub(super) fn counts(&self) -> AuthCounts {
        AuthCounts {
            other_issuer: self.issuer.load(Relaxed),
            other_audience: self.audience.load(Relaxed),
            unverified: self.unverified.load(Relaxed),
        }
    }

    /// Counts a token of another issuer. Its signature is valid.
    #[cold]
    pub(super) fn issuer(&self, expected: &str, received: Option<&str>) {
        if self.is_logged(&self.issuer) {
            return;
        }
        let remedy = issuer_remedy(expected, received);
        let (expected, received) = (Short(expected), Short(received.unwrap_or("nothing")));
        tracing::warn!(
            claim = "iss",
            %expected,
            %received,
            remedy,
            "a token with a valid signature has another issuer"
        );
    }

    /// Counts a token for another audience. Its signature and its issuer are valid.
    #[cold]
    pub(super) fn audience<'a>(
        &self,
        expected: &[Box<str>],
        received: impl Iterator<Item = &'a str>,
        client_id: Option<&str>,
    ) {
        if self.is_logged(&self.audience) {
            return;
        }
        let received = list(received);
        let remedy = match client_id {
            Some(client_id) if expected.iter().any(|own| **own == *client_id) => {
                "the token has the expected text as `client_id`; Jwt::client_id_as_audience accepts \
                 it if the token has no `aud`"
            }
            _ => {
                "request tokens for the expected audience, or give the received one to Jwt::new or \
                 Jwt::additional_audiences if it is this service"
            }
        };
        tracing::warn!(
            claim = "aud",
            expected = %Short(list(expected.iter().map(|own| &**own))),
            received = %Short(if received.is_empty() { "nothing".to_owned() } else { received }),
            remedy,
            "a token with a valid signature is for another audience"
        );
    }

    /// Counts a token that none of the issuer's `keys` verifies. Nothing in it is known to be true.
    #[cold]
    pub(super) fn unverified(&self, reason: &'static str, keys: usize) {
        if self.is_logged(&self.unverified) {
            return;
        }
        tracing::warn!(
            reason,
            keys,
            "no token was verified yet; check that the keys are those of the issuer that signs the \
             tokens"
        );
    }

    /// Counts a mismatch and returns whether it was logged before or needs no log line.
    fn is_logged(&self, counter: &AtomicU64) -> bool {
        counter.fetch_add(1, Relaxed) > 0 || self.accepted.load(Relaxed)
    }
}

fn issuer_remedy(expected: &str, received: Option<&str>) -> &'static str {
    let Some(received) = received else {
        return "the token has no `iss`; use an identity provider that names itself";
    };
    let bare = |issuer: &str| issuer.trim().trim_end_matches('/').to_owned();
    let rest = |issuer: &str| issuer.split_once("://").map_or(issuer, |(_, rest)| rest).to_owned();
    if bare(expected) == bare(received) {
        "they differ by a slash or a space at the end; give the received text to Jwt::new exactly"
    } else if rest(&bare(expected)) == rest(&bare(received)) {
        "they differ by the scheme; give the received text to Jwt::new exactly"
    } else if expected.eq_ignore_ascii_case(received) {
        "they differ by upper and lower case; give the received text to Jwt::new exactly"
    } else {
        "give the received issuer to Jwt::new if you trust it, or the keys of the expected one"
    }
}

/// Joins at most eight texts.
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.take(8).map(|text| Short(text).to_string()).collect::<Vec<_>>().join(", ")
}

/// Displays at most 200 characters in one line.
struct Short<T>(T);

impl<T: AsRef<str>> fmt::Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        match text.char_indices().nth(200) {
            Some((end, _)) => write!(f, "{}…", Printable(text.get(..end).unwrap_or_default())),
            None => Printable(text).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_difference() {
        let expected = "https://a.example/t";
        for (received, words) in [
            ("https://a.example/t/", "slash"),
            ("http://a.example/t", "scheme"),
            ("a.example/t/", "scheme"),
            ("https://A.example/t", "case"),
            ("https://b.example", "if you trust it"),
        ] {
            assert!(issuer_remedy(expected, Some(received)).contains(words), "{received}");
        }
        assert!(issuer_remedy(expected, None).contains("no `iss`"));
    }

    #[test]
    fn claims_are_shown_in_one_short_line() {
        let text = Short("a\n".repeat(1_000)).to_string();
        assert!(text.len() < 400 && text.starts_with(r"a\na") && text.ends_with('…'), "{text}");
        assert_eq!(list((0..100).map(|_| "a")).len(), 22);
    }
}
