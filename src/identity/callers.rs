use serde_json::Value;

use super::{claim_path::ClaimPath, pattern::SubjectPattern, proof::Proof, verified::Identity};

/// Conditions that select callers. All of them must hold.
///
/// ```
/// use tower_inference::identity::{Callers, Identity, Proof};
///
/// let writers = Callers::new().scope("infer").any_scope(["write", "admin"]);
/// let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
/// assert!(!writers.include(&caller));
/// assert!(writers.include(&caller.clone().with_scopes(["infer", "write"])));
///
/// let main = Callers::new().subject(
///     "https://token.actions.githubusercontent.com",
///     "repo:acme/*:ref:refs/heads/main",
/// );
/// assert!(!main.include(&caller));
/// ```
///
/// Without a condition every caller with an identity is included. Names and values are compared
/// exactly. When there are several issuers, add [`issuer`](Self::issuer) to a condition whose words each
/// issuer chooses for itself: a scope, a role, a group, a plan or a claim.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
enum Condition {
    Scope(Box<str>),
    AnyScope(Vec<Box<str>>),
    Issuer(Box<str>),
    Tenant(Box<str>),
    Principal(Proof, Box<str>),
    Subject(SubjectPattern),
    Client(Box<str>),
    Role(Box<str>),
    Group(Box<str>),
    Plan(Box<str>),
    Claim(ClaimPath, Value),
    ClaimContains(ClaimPath, Value),
}

impl Callers {
    /// Includes every caller with an identity.
    #[must_use]
    pub const fn new() -> Self {
        Self { conditions: Vec::new() }
    }

    /// Requires a scope.
    #[must_use]
    pub fn scope(self, scope: impl Into<Box<str>>) -> Self {
        self.when(Condition::Scope(scope.into()))
    }

    /// Requires one of several scopes. An empty list includes nobody.
    #[must_use]
    pub fn any_scope<T: Into<Box<str>>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.when(Condition::AnyScope(scopes.into_iter().map(Into::into).collect()))
    }

    /// Requires an issuer.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> Self {
        self.when(Condition::Issuer(issuer.into()))
    }

    /// Requires a tenant of an issuer.
    #[must_use]
    pub fn tenant(self, issuer: impl Into<Box<str>>, tenant: impl Into<Box<str>>) -> Self {
        self.issuer(issuer).when(Condition::Tenant(tenant.into()))
    }

    /// Requires one principal.
    #[must_use]
    pub fn principal(
        self,
        proof: Proof,
        issuer: impl Into<Box<str>>,
        subject: impl Into<Box<str>>,
    ) -> Self {
        self.issuer(issuer).when(Condition::Principal(proof, subject.into()))
    }

    /// Requires a subject of an issuer that matches a pattern.
    ///
    /// A star stands for one or more characters without `:` and `/`, so that it does not match further
    /// parts of a subject such as `repo:acme/app:ref:refs/heads/main`. A star at the end stands for one
    /// or more of any characters.
    #[must_use]
    pub fn subject(self, issuer: impl Into<Box<str>>, pattern: &str) -> Self {
        self.issuer(issuer).when(Condition::Subject(SubjectPattern::new(pattern)))
    }

    /// Requires a client.
    #[must_use]
    pub fn client(self, client: impl Into<Box<str>>) -> Self {
        self.when(Condition::Client(client.into()))
    }

    /// Requires a role.
    #[must_use]
    pub fn role(self, role: impl Into<Box<str>>) -> Self {
        self.when(Condition::Role(role.into()))
    }

    /// Requires a group.
    #[must_use]
    pub fn group(self, group: impl Into<Box<str>>) -> Self {
        self.when(Condition::Group(group.into()))
    }

    /// Requires a plan.
    #[must_use]
    pub fn plan(self, plan: impl Into<Box<str>>) -> Self {
        self.when(Condition::Plan(plan.into()))
    }

    /// Requires a claim that equals `value`.
    #[must_use]
    pub fn claim(self, path: impl Into<ClaimPath>, value: impl Into<Value>) -> Self {
        self.when(Condition::Claim(path.into(), value.into()))
    }

    /// Requires a claim that is an array with `value` in it.
    #[must_use]
    pub fn claim_contains(self, path: impl Into<ClaimPath>, value: impl Into<Value>) -> Self {
        self.when(Condition::ClaimContains(path.into(), value.into()))
    }

    /// Returns whether a caller is included.
    #[must_use]
    pub fn include(&self, caller: &Identity) -> bool {
        self.conditions.iter().all(|condition| condition.holds(caller))
    }

    /// Returns the claims that the conditions ask for.
    #[cfg(any(feature = "auth", feature = "model-rules"))]
    pub(crate) fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Claim(path, _) | Condition::ClaimContains(path, _) => Some(path),
            _ => None,
        })
    }

    fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }
}

impl Condition {
    fn holds(&self, caller: &Identity) -> bool {
        match self {
            Self::Scope(scope) => caller.has_scope(scope),
            Self::AnyScope(scopes) => scopes.iter().any(|scope| caller.has_scope(scope)),
            Self::Issuer(issuer) => caller.issuer() == &**issuer,
            Self::Tenant(tenant) => caller.tenant() == Some(tenant),
            Self::Principal(proof, subject) => {
                caller.proof() == *proof && caller.subject() == &**subject
            }
            Self::Subject(pattern) => pattern.matches(caller.subject()),
            Self::Client(client) => caller.client() == Some(client),
            Self::Role(role) => caller.roles().any(|own| own == &**role),
            Self::Group(group) => caller.groups().any(|own| own == &**group),
            Self::Plan(plan) => caller.plan() == Some(plan),
            Self::Claim(path, value) => caller.claim_at(path) == Some(value),
            Self::ClaimContains(path, value) => {
                let list = caller.claim_at(path).and_then(Value::as_array);
                list.is_some_and(|list| list.contains(value))
            }
        }
    }
}

// === what access rules ask ===

/// A fact of an identity that only some credentials have.
#[cfg(feature = "auth")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fact {
    Tenant,
    Client,
    Roles,
    Groups,
    Plan,
}

/// Why a caller is not included.
#[cfg(feature = "auth")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unmet {
    /// Only scopes are missing. These would do, as one list.
    Scopes(Box<str>),
    /// The caller has not got this.
    Other(&'static str),
}

#[cfg(feature = "auth")]
impl Callers {
    /// Returns the facts that the conditions ask for.
    pub(crate) fn facts(&self) -> impl Iterator<Item = Fact> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Tenant(_) => Some(Fact::Tenant),
            Condition::Client(_) => Some(Fact::Client),
            Condition::Role(_) => Some(Fact::Roles),
            Condition::Group(_) => Some(Fact::Groups),
            Condition::Plan(_) => Some(Fact::Plan),
            _ => None,
        })
    }

    /// Returns why a caller is not included, or `None` if it is.
    pub(crate) fn unmet(&self, caller: &Identity) -> Option<Unmet> {
        let unmet = || self.conditions.iter().filter(|condition| !condition.holds(caller));
        let other = unmet().find(|condition| condition.scopes().is_none());
        if let Some(condition) = other {
            return Some(Unmet::Other(condition.noun()));
        }
        unmet().next()?;
        let scopes = self.conditions.iter().filter_map(Condition::scopes).collect::<Vec<_>>();
        Some(Unmet::Scopes(scopes.join(" ").into()))
    }
}

#[cfg(feature = "auth")]
impl Condition {
    /// Returns the scope to ask for. `AnyScope` gives its first.
    fn scopes(&self) -> Option<&str> {
        match self {
            Self::Scope(scope) => Some(scope),
            Self::AnyScope(scopes) => scopes.first().map(AsRef::as_ref),
            _ => None,
        }
    }

    const fn noun(&self) -> &'static str {
        match self {
            Self::Scope(_) | Self::AnyScope(_) => "scope",
            Self::Issuer(_) => "issuer",
            Self::Tenant(_) => "tenant",
            Self::Principal(..) => "principal",
            Self::Subject(_) => "subject",
            Self::Client(_) => "client",
            Self::Role(_) => "role",
            Self::Group(_) => "group",
            Self::Plan(_) => "plan",
            Self::Claim(..) | Self::ClaimContains(..) => "claim",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example";

    #[test]
    fn each_condition_holds_for_its_callers_alone() {
        let caller = Identity::new(Proof::Jwt, ISSUER, "repo:acme/app:ref:refs/heads/main")
            .with_tenant("acme")
            .with_scopes(["infer"])
            .with_client("cli")
            .with_roles(["dev"])
            .with_groups(["ml"])
            .with_plan("pro")
            .with_claim("tier", 2)
            .with_claim("a", serde_json::json!({ "b": ["x", "y"] }));
        let c = Callers::new;
        for (callers, other) in [
            (c().scope("infer"), c().scope("inf")),
            (c().any_scope(["x", "infer"]), c().any_scope(["x"])),
            (c().issuer(ISSUER), c().issuer("https://issuer.example/")),
            (c().tenant(ISSUER, "acme"), c().tenant("x", "acme")),
            (
                c().principal(Proof::Jwt, ISSUER, "repo:acme/app:ref:refs/heads/main"),
                c().principal(Proof::ApiKey, ISSUER, "repo:acme/app:ref:refs/heads/main"),
            ),
            (c().subject(ISSUER, "repo:acme/*"), c().subject("x", "repo:acme/*")),
            (c().client("cli"), c().client("c")),
            (c().role("dev"), c().role("ml")),
            (c().group("ml"), c().group("dev")),
            (c().plan("pro"), c().plan("Pro")),
            (c().claim("tier", 2), c().claim("tier", "2")),
            (c().claim_contains("a.b", "y"), c().claim("a.b", "y")),
            (c().scope("infer").role("dev"), c().scope("infer").role("x")),
        ] {
            assert!(callers.include(&caller), "{callers:?}");
            assert!(!other.include(&caller), "{other:?}");
        }
        let nothing = Identity::new(Proof::Jwt, "x", "");
        assert!(c().include(&nothing));
        for callers in [c().client(""), c().plan(""), c().tenant("x", ""), c().any_scope([""; 0])] {
            assert!(!callers.include(&nothing), "{callers:?}");
        }
    }
}
