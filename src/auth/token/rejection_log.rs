//! The log of rejected tokens.
//!
//! Each rejected token is one line with its cause and what was expected. A flood of invalid tokens
//! cannot fill the log: after 10 lines there is one every 6 seconds. The next line counts the ones in
//! between.

use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    claims::TokenClaims, counts::SettingsFit, failures::AuthFailure, json::OneOrMany, jwt::Jwt,
    parts::TokenHeader,
};
use crate::{
    auth::{keys::Keys, line_budget::LineBudget},
    printable::Printable,
};

/// The maximum number of characters of a text.
const MAX_CHARS: usize = 200;

/// Logs rejected tokens at a bounded rate.
#[derive(Debug, Default)]
pub(super) struct RejectionLog(LineBudget);

/// What is known of a rejected token.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'a> {
    pub(super) issuer: Option<(&'a Jwt, &'a SettingsFit)>,
    /// The names of all issuers if the token has none of them.
    pub(super) issuers: Option<&'a str>,
    /// Whether it is the first token of no issuer while no token was accepted.
    pub(super) is_first: bool,
    pub(super) header: Option<&'a TokenHeader<'a>>,
    pub(super) keys: Option<&'a Keys>,
    /// Only after the signature was verified.
    pub(super) claims: Option<&'a TokenClaims<'a>>,
}

impl RejectionLog {
    /// Counts and logs a rejected token at `now` on the monotonic clock.
    ///
    /// Most rejected tokens are the fault of their client, so they are logged at `info`. Until a token
    /// of the issuer was accepted a wrong setting is the likelier cause, so the first mismatch of each
    /// kind is logged at `warn`.
    #[cold]
    pub(super) fn write(&self, failure: &AuthFailure, seen: Seen<'_>, now: Duration) {
        let is_first = is_first_mismatch(failure, seen);
        let Some(suppressed) = self.0.take(now, is_first) else { return };
        let mismatch = Mismatch::of(failure, seen);
        let reason = failure.reason();
        // Recorded as strings, so that a text cannot pretend to be another field.
        let issuer = shown(seen.issuer.map(|(jwt, _)| &*jwt.issuer));
        let algorithm = shown(seen.header.and_then(|header| header.algorithm.as_deref()));
        let key_id = shown(seen.header.and_then(|header| header.key_id.as_deref()));
        let keys = seen.keys.map(Keys::count);
        let Mismatch { name, expected, received, remedy } = mismatch;
        let (expected, received) = (shown(expected.as_deref()), shown(received.as_deref()));
        let (issuer, alg, kid) = (issuer.as_deref(), algorithm.as_deref(), key_id.as_deref());
        let (expected, received) = (expected.as_deref(), received.as_deref());
        let suppressed = (suppressed > 0).then_some(suppressed);
        if is_first {
            tracing::warn!(
                %reason, issuer, alg, kid, claim = name, expected, received,
                keys, remedy, suppressed, "token rejected; no token was accepted yet"
            );
        } else {
            tracing::info!(
                %reason, issuer, alg, kid, claim = name, expected, received,
                keys, remedy, suppressed, "token rejected"
            );
        }
    }
}

/// Counts a mismatch. Returns whether it is the first of its kind while the settings are not proven.
fn is_first_mismatch(failure: &AuthFailure, seen: Seen<'_>) -> bool {
    let Some((_, fit)) = seen.issuer else { return seen.is_first };
    let counter = match failure {
        AuthFailure::OtherIssuer => &fit.other_issuer,
        AuthFailure::OtherAudience => &fit.other_audience,
        AuthFailure::Unverified(_) => &fit.unverified,
        _ => return false,
    };
    counter.fetch_add(1, Relaxed) == 0 && !fit.is_proven()
}

/// The part of a token that differs from the settings.
#[derive(Default)]
struct Mismatch {
    name: Option<&'static str>,
    expected: Option<String>,
    received: Option<String>,
    remedy: Option<&'static str>,
}

impl Mismatch {
    fn of(failure: &AuthFailure, seen: Seen<'_>) -> Self {
        let Some((jwt, _)) = seen.issuer else {
            let expected = seen.issuers.map(ToOwned::to_owned);
            return Self { name: expected.is_some().then_some("iss"), expected, ..Self::default() };
        };
        match failure {
            AuthFailure::Algorithm(_) => {
                let accepted = jwt.algorithms.iter().map(|algorithm| algorithm.as_str());
                let received = seen.header.and_then(|header| header.algorithm.as_deref());
                Self::new("alg", list(accepted), received, "Jwt::algorithms sets the accepted ones")
            }
            AuthFailure::Unverified(_) => {
                let keys = seen.keys.map(|keys| format!("{keys:?}")).unwrap_or_default();
                let received = seen.header.and_then(|header| header.key_id.as_deref());
                Self::new(
                    "kid",
                    keys,
                    received,
                    "check that the keys are those of the issuer that signs the tokens",
                )
            }
            AuthFailure::OtherIssuer => {
                let received = seen.claims.and_then(|claims| claims.issuer.as_deref());
                let remedy = issuer_remedy(&jwt.issuer, received);
                Self::new("iss", jwt.issuer.to_string(), received, remedy)
            }
            AuthFailure::OtherAudience => {
                let expected = jwt.audiences().unwrap_or_default();
                let claims = seen.claims;
                let received = claims.and_then(|claims| claims.audience.as_ref());
                let received = list(received.into_iter().flat_map(OneOrMany::texts));
                let client_id = claims.and_then(|claims| claims.client_id.as_deref());
                Self::new(
                    "aud",
                    list(expected.iter().map(|own| &**own)),
                    Some(&*received).filter(|received| !received.is_empty()),
                    audience_remedy(expected, client_id),
                )
            }
            _ => Self::default(),
        }
    }

    fn new(
        name: &'static str,
        expected: String,
        received: Option<&str>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name: Some(name),
            expected: Some(expected),
            received: Some(received.unwrap_or("nothing").to_owned()),
            remedy: Some(remedy),
        }
    }
}

/// Returns at most 200 escaped characters of a text.
fn shown(text: Option<&str>) -> Option<String> {
    text.map(|text| Short(text).to_string())
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

fn audience_remedy(expected: &[Box<str>], client_id: Option<&str>) -> &'static str {
    match client_id {
        Some(client_id) if expected.iter().any(|own| **own == *client_id) => {
            "the token has the expected text as `client_id`; Jwt::client_id_as_audience accepts it if \
             the token has no `aud`"
        }
        _ => {
            "request tokens for the expected audience, or give the received one to Jwt::new or \
             Jwt::additional_audiences if it is this service"
        }
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
        match text.char_indices().nth(MAX_CHARS) {
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
    fn texts_are_shown_in_one_short_line() {
        let text = Short("a\n".repeat(1_000)).to_string();
        assert!(text.len() < 400 && text.starts_with(r"a\na") && text.ends_with('…'), "{text}");
        assert_eq!(list((0..100).map(|_| "a")).len(), 22);
    }
}
