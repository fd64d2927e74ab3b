use http::Method;

use super::{
    explanation::{Explanation, Mismatch, Reason},
    rule::AccessRule,
};
use crate::{
    auth::failure::Failure,
    identity::{ClaimPath, ClaimUses, Identity, Unmet},
    rejection::{Refusal, Rejection},
};

/// The rules that allow callers to use routes. Without a rule nothing is allowed.
///
/// ```
/// use http::Method;
/// use tower_inference::{
///     auth::{AccessRule, AccessRules},
///     identity::{Callers, Identity, Proof},
/// };
///
/// let rules = AccessRules::new()
///     .allow(AccessRule::new("inference", Callers::new().scope("infer")).path("/v1/*"))
///     .allow(
///         AccessRule::new("models", Callers::new()).path("/v1/models").methods([Method::GET]),
///     );
///
/// let reader = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
/// let writer = reader.clone().with_scopes(["infer"]);
/// let decision = |caller, method, path| rules.explain(caller, &method, path).to_string();
/// assert_eq!(decision(&reader, Method::GET, "/v1/models"), "allowed by rule `models`");
/// assert_eq!(decision(&writer, Method::POST, "/v1/embeddings"), "allowed by rule `inference`");
/// assert_eq!(
///     decision(&reader, Method::POST, "/v1/embeddings"),
///     "denied: rule `inference` needs the scopes `infer`; rule `models` is for other paths",
/// );
/// ```
///
/// Rules only allow, so their order does not matter. [`AuthLayer::rules`](crate::auth::AuthLayer::rules)
/// takes them.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    rules: Vec<AccessRule>,
    claims: ClaimUses,
}

impl AccessRules {
    /// Creates an empty set of rules, which allows nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { rules: Vec::new(), claims: ClaimUses::new() }
    }

    /// Adds a rule.
    #[must_use]
    pub fn allow(mut self, rule: AccessRule) -> Self {
        self.claims.add(&rule.callers);
        self.rules.push(rule);
        self
    }

    /// Returns why a request is allowed or denied. `path` has no query.
    #[must_use]
    pub fn explain(&self, caller: &Identity, method: &Method, path: &str) -> Explanation {
        let mut denied = Vec::new();
        for rule in &self.rules {
            match mismatch(rule, caller, method, path) {
                None => return Explanation(Reason::AllowedBy(rule.name.clone())),
                Some(mismatch) => denied.push((rule.name.clone(), mismatch)),
            }
        }
        Explanation(Reason::Denied(denied))
    }

    /// Returns each claim that rules ask for and that no caller has had, with the number of requests
    /// since the start. A great number shows a wrong name.
    pub fn unseen_claims(&self) -> impl Iterator<Item = (&ClaimPath, u64)> {
        self.claims.unseen()
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &AccessRule> {
        self.rules.iter()
    }

    /// Allows or rejects a request.
    pub(crate) fn check(
        &self,
        caller: &Identity,
        method: &Method,
        path: &str,
    ) -> Result<(), Failure> {
        self.claims.note(caller);
        let allows = |rule: &AccessRule| {
            rule.covers_method(method) && rule.covers_path(path) && rule.callers.include(caller)
        };
        if let Some(rule) = self.rules.iter().find(|rule| allows(rule)) {
            tracing::trace!(rule = &*rule.name, "access allowed");
            return Ok(());
        }
        tracing::debug!(explanation = %self.explain(caller, method, path), "access denied");
        let scopes =
            self.rules.iter().find_map(|rule| match mismatch(rule, caller, method, path) {
                Some(Mismatch::Caller(Unmet::Scopes(scopes))) => Some(scopes),
                _ => None,
            });
        Err(match scopes {
            Some(scopes) => {
                let detail = format!("this needs the scopes `{scopes}`");
                let rejection = Rejection::new(Refusal::InsufficientScope).with_detail(detail);
                Failure::bearer(rejection, Some("insufficient_scope")).scope(&scopes)
            }
            None => Rejection::new(Refusal::Forbidden)
                .with_detail("this caller may not use this route")
                .into(),
        })
    }
}

fn mismatch(rule: &AccessRule, caller: &Identity, method: &Method, path: &str) -> Option<Mismatch> {
    if !rule.covers_path(path) {
        return Some(Mismatch::Path);
    }
    if !rule.covers_method(method) {
        return Some(Mismatch::Method);
    }
    rule.callers.unmet(caller).map(Mismatch::Caller)
}
