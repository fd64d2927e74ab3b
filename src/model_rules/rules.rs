use serde_json::Value;

use crate::{
    identity::{Identity, Proof},
    model::{Policy, Provider, Target},
};

/// Who may use which models of which providers: nobody anything, until it is allowed.
#[derive(Clone, Debug, Default)]
pub struct ModelRules {
    rules: Vec<Models>,
}

impl ModelRules {
    /// Allows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// Allows `models`, beside what is allowed already.
    #[must_use]
    pub fn allow(mut self, models: Models) -> Self {
        self.rules.push(models);
        self
    }

    /// Whether a caller may use `target`.
    #[must_use]
    pub fn allows(&self, target: &Target<'_>, caller: Option<&Identity>) -> bool {
        self.rules.iter().any(|rule| rule.covers(target) && rule.holds_for(caller))
    }
}

/// A rule: models, providers, and for whom.
///
/// ```
/// use tower_inference::{
///     identity::{Identity, Proof},
///     model::{Policy, Provider, Target},
///     model_rules::{ModelRules, Models},
/// };
///
/// let rules = ModelRules::new().allow(
///     Models::of(["meta-llama/*", "openai/gpt-oss-20b"])
///         .providers(["together"])
///         .policies([Policy::Cheapest])
///         .tenant("https://issuer.example", "acme")
///         .scope("infer"),
/// );
/// let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
///     .with_tenant("acme")
///     .with_scopes(["infer"]);
/// let target = Target::of("openai/gpt-oss-20b").with_provider(Provider::Named("together".into()));
/// assert!(rules.allows(&target, Some(&caller)));
/// assert!(!rules.allows(&target, None));
/// let target = target.with_provider(Provider::Chosen(Policy::Fastest));
/// assert!(!rules.allows(&target, Some(&caller)));
/// ```
#[derive(Clone, Debug)]
pub struct Models {
    names: Vec<Pattern>,
    providers: Vec<Box<str>>,
    policies: Vec<Policy>,
    any_provider: bool,
    conditions: Vec<Condition>,
}

impl Models {
    /// Models by their names: `org/name`, all of an owner as `org/*`, or all as `*`.
    ///
    /// Compared byte for byte, case included. A star elsewhere stands for itself, and so for
    /// nothing: no model has one in its name.
    pub fn of<T: Into<Box<str>>>(names: impl IntoIterator<Item = T>) -> Self {
        Self {
            names: names.into_iter().map(|name| Pattern::of(name.into())).collect(),
            providers: Vec::new(),
            policies: Vec::new(),
            any_provider: false,
            conditions: Vec::new(),
        }
    }

    /// Adds providers by their names in suffixes and paths: `together`, `hf-inference`. None by
    /// default: only models of endpoints and servers, which have no providers, are allowed.
    #[must_use]
    pub fn providers<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.providers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds policies by which the router may choose a provider: any that serves the model. None by
    /// default. [`Policy::Fastest`] is also what a model without a suffix asks for.
    #[must_use]
    pub fn policies(mut self, policies: impl IntoIterator<Item = Policy>) -> Self {
        self.policies.extend(policies);
        self
    }

    /// Any provider, and any policy; but a provider's own routes only if it is in
    /// [`providers`](Self::providers), too.
    #[must_use]
    pub const fn any_provider(mut self) -> Self {
        self.any_provider = true;
        self
    }

    /// For callers with a scope.
    #[must_use]
    pub fn scope(self, scope: impl Into<Box<str>>) -> Self {
        self.when(Condition::Scope(scope.into()))
    }

    /// For callers that an issuer vouches for. Scopes and claims mean what their issuer says: name
    /// it where there are several.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> Self {
        self.when(Condition::Issuer(issuer.into()))
    }

    /// For callers on behalf of an issuer's tenant.
    #[must_use]
    pub fn tenant(self, issuer: impl Into<Box<str>>, tenant: impl Into<Box<str>>) -> Self {
        self.issuer(issuer).when(Condition::Tenant(tenant.into()))
    }

    /// For one caller: how proved, by whom, who.
    #[must_use]
    pub fn principal(
        self,
        proof: Proof,
        issuer: impl Into<Box<str>>,
        subject: impl Into<Box<str>>,
    ) -> Self {
        self.issuer(issuer).when(Condition::Subject(proof, subject.into()))
    }

    /// For callers with a claim that is `value`, or an array that holds it.
    #[must_use]
    pub fn claim(self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.when(Condition::Claim(name.into(), value.into()))
    }

    fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    fn covers(&self, target: &Target<'_>) -> bool {
        let listed = |name: &str| self.providers.iter().any(|own| **own == *name);
        let provider = match &target.provider {
            Provider::Own => true,
            Provider::Named(name) => self.any_provider || listed(name),
            Provider::Route(name) => listed(name),
            Provider::Chosen(policy) => self.any_provider || self.policies.contains(policy),
        };
        provider && self.names.iter().any(|name| name.matches(target.model.as_deref()))
    }

    fn holds_for(&self, caller: Option<&Identity>) -> bool {
        let holds = |condition: &Condition| caller.is_some_and(|caller| condition.holds(caller));
        self.conditions.iter().all(holds)
    }
}

#[derive(Clone, Debug)]
enum Pattern {
    /// `*`, also what is unknown.
    Any,
    /// `org/*`, kept with its slash.
    Owner(Box<str>),
    Exact(Box<str>),
}

impl Pattern {
    fn of(name: Box<str>) -> Self {
        match name.strip_suffix('*') {
            Some("") => Self::Any,
            Some(owner) if owner.ends_with('/') => Self::Owner(owner.into()),
            _ => Self::Exact(name),
        }
    }

    fn matches(&self, model: Option<&str>) -> bool {
        match (self, model) {
            (Self::Any, _) => true,
            (Self::Owner(owner), Some(model)) => model.starts_with(&**owner),
            (Self::Exact(name), Some(model)) => **name == *model,
            (Self::Owner(_) | Self::Exact(_), None) => false,
        }
    }
}

/// What must be true of the caller.
#[derive(Clone, Debug)]
enum Condition {
    Scope(Box<str>),
    Issuer(Box<str>),
    Tenant(Box<str>),
    Subject(Proof, Box<str>),
    Claim(Box<str>, Value),
}

impl Condition {
    fn holds(&self, caller: &Identity) -> bool {
        match self {
            Self::Scope(scope) => caller.has_scope(scope),
            Self::Issuer(issuer) => caller.issuer() == &**issuer,
            Self::Tenant(tenant) => caller.tenant() == Some(tenant),
            Self::Subject(proof, subject) => {
                caller.proof() == *proof && caller.subject() == &**subject
            }
            Self::Claim(name, value) => caller.claim(name).is_some_and(|own| {
                own == value || own.as_array().is_some_and(|all| all.contains(value))
            }),
        }
    }
}
