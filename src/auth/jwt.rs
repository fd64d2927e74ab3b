use std::{fmt, time::Duration};

use super::{algorithm::Algorithm, source::KeySource};
use crate::clock::SharedClock;

/// The longest leeway: RFC 7519 section 4.1.4 speaks of "a few minutes".
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// What a JSON Web Token must be to be accepted: an access token of one issuer, for this audience.
///
/// Always checked, in this order: the syntax, the algorithm (allowed, and the key's own), the
/// signature; then `typ`, `iss`, `aud`, `exp`, `nbf`, `iat` and `sub`; then the scopes. `exp` and
/// `sub` must be there. Clones are the same configuration; each [`AuthLayer`] made of one remembers
/// its own tokens.
///
/// [`AuthLayer`]: super::AuthLayer
#[derive(Clone)]
pub struct Jwt {
    pub(super) keys: KeySource,
    pub(super) clock: SharedClock,
    pub(super) issuer: Box<str>,
    /// `None`: any.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) client_id_as_audience: bool,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) types: AcceptedTypes,
    pub(super) access_tokens: bool,
    pub(super) leeway: Duration,
    pub(super) required_scopes: Vec<Box<str>>,
    pub(super) tenant_claim: Option<Box<str>>,
    pub(super) realm: Option<Box<str>>,
    pub(super) cache_bytes: u64,
    pub(super) max_token_bytes: usize,
}

impl Jwt {
    /// Tokens of `issuer`, signed with one of `keys`, for `audience`. Both are compared exactly.
    pub fn new(
        keys: impl Into<KeySource>,
        issuer: impl Into<Box<str>>,
        audience: impl Into<Box<str>>,
    ) -> Self {
        let keys = keys.into();
        Self {
            clock: keys.clock.clone(),
            keys,
            issuer: issuer.into(),
            audiences: Some(vec![audience.into()]),
            client_id_as_audience: false,
            algorithms: Algorithm::ALL.to_vec(),
            types: AcceptedTypes { accepted: vec!["JWT".into(), "at+jwt".into()], required: false },
            access_tokens: false,
            leeway: Duration::from_secs(30),
            required_scopes: Vec::new(),
            tenant_claim: None,
            realm: None,
            cache_bytes: 8 << 20,
            max_token_bytes: 16 << 10,
        }
    }

    /// Adds audiences: a token for any of them is accepted. Without effect once any is.
    #[must_use]
    pub fn audiences<A: Into<Box<str>>>(mut self, more: impl IntoIterator<Item = A>) -> Self {
        if let Some(audiences) = &mut self.audiences {
            audiences.extend(more.into_iter().map(Into::into));
        }
        self
    }

    /// Accepts tokens for whatever audience. Whoever gets a token of this issuer, for whatever other
    /// service, can then use it here, and so can every such service.
    #[must_use]
    pub fn dangerous_any_audience(mut self) -> Self {
        self.audiences = None;
        self
    }

    /// Looks for the audience in `client_id` when there is no `aud`, as access tokens of Cognito need
    /// it. A token that says its `token_use` must then say `access`.
    #[must_use]
    pub const fn client_id_as_audience(mut self) -> Self {
        self.client_id_as_audience = true;
        self
    }

    /// The algorithms that are accepted (RFC 8725 section 3.1). Default: each of [`Algorithm`].
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The values of `typ` that are accepted, without `application/` and in any case (RFC 7515
    /// section 4.1.9); a token without one is then refused. Default: `JWT` and `at+jwt`, or none.
    #[must_use]
    pub fn types<T: Into<Box<str>>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let accepted = types.into_iter().map(Into::into).collect();
        self.types = AcceptedTypes { accepted, required: true };
        self
    }

    /// Accepts only access tokens of RFC 9068: `typ` is `at+jwt`, and `client_id`, `iat`, `jti` and
    /// `aud` are there. Auth0 and Keycloak send these when told to, Entra and Cognito do not.
    #[must_use]
    pub fn strict_access_tokens(mut self) -> Self {
        self.access_tokens = true;
        self.types(["at+jwt"])
    }

    /// By how much clocks may differ, for `exp`, `nbf` and `iat`. Default 30 s, which a host without
    /// time service drifts in weeks; at most five minutes.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// The scopes that a token must have, all of them: in `scope`, or in `scp` as Entra and Okta have
    /// it, each a string or an array. Default none. There is no other sure way to tell an access token from an identity token
    /// where `typ` does not.
    #[must_use]
    pub fn required_scopes<T: Into<Box<str>>>(
        mut self,
        scopes: impl IntoIterator<Item = T>,
    ) -> Self {
        self.required_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The claim that names the tenant, which becomes the identity's. A token without it has no
    /// tenant; one in which it is no string, or an empty one, is refused. Default none.
    #[must_use]
    pub fn tenant_claim(mut self, name: impl Into<Box<str>>) -> Self {
        self.tenant_claim = Some(name.into());
        self
    }

    /// The realm of the challenges. Default none. Characters that may not stand in it are left out.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<Box<str>>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// How many bytes of tokens that held are remembered, so that each is verified once. Default
    /// 8 MiB, some 1,500 tokens; zero remembers none.
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The longest token that is looked at. Default 16 KiB.
    #[must_use]
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Reads the time from `clock`, also for the ages of these keys. Default: the clock of the keys.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.keys = self.keys.clock(clock.clone());
        self.clock = clock;
        self
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .field("required_scopes", &self.required_scopes)
            .finish_non_exhaustive()
    }
}

/// The accepted values of `typ`.
#[derive(Clone, Debug)]
pub(super) struct AcceptedTypes {
    accepted: Vec<Box<str>>,
    /// Whether there must be one.
    required: bool,
}

impl AcceptedTypes {
    pub(super) fn accepts(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else {
            return !self.required;
        };
        self.accepted.iter().any(|accepted| without_prefix(accepted).eq_ignore_ascii_case(without_prefix(kind)))
    }
}

/// A media type without the `application/` that may be left out when nothing else has a slash
/// (RFC 7515 section 4.1.9).
fn without_prefix(kind: &str) -> &str {
    match kind.split_at_checked(b"application/".len()) {
        Some((start, rest))
            if start.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
        {
            rest
        }
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_media_types() {
        let default = AcceptedTypes { accepted: vec!["JWT".into(), "at+jwt".into()], required: false };
        for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert!(default.accepts(Some(kind)), "{kind}");
        }
        for kind in
            ["", "application/", "logout+jwt", "dpop+jwt", "at+jwt;x=1", "text/at+jwt", "id_token"]
        {
            assert!(!default.accepts(Some(kind)), "{kind}");
        }
        assert!(default.accepts(None));
        assert!(!AcceptedTypes { accepted: vec!["x".into()], required: true }.accepts(None));
        assert!(!AcceptedTypes { accepted: vec![], required: true }.accepts(Some("JWT")));
    }
}
