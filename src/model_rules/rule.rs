use serde_json::Value;

use crate::{
    identity::{Identity, Proof},
    model::{Provider, ProviderPolicy, Target},
};

/// The rules that allow callers to use models. Without a rule nothing is allowed.
#[derive(Clone, Debug, Default)]
pub struct ModelRules {
    rules: Vec<ModelRule>,
}

impl ModelRules {
    /// Creates an empty set of rules, which allows nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// Adds a rule.
    #[must_use]
    pub fn allow(mut self, rule: ModelRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Returns whether a rule has a condition on the caller.
    pub(super) fn need_identity(&self) -> bool {
        self.rules.iter().any(|rule| !rule.conditions.is_empty())
    }

    /// Returns whether a caller may use `target`.
    #[must_use]
    pub fn allows(&self, target: &Target<'_>, caller: Option<&Identity>) -> bool {
        self.rules.iter().any(|rule| rule.covers(target) && rule.holds_for(caller))
    }
}

/// A rule that allows some callers to use some models of some providers.
///
/// ```
/// use tower_inference::{
///     identity::{Identity, Proof},
///     model::{ProviderPolicy, Provider, Target},
///     model_rules::{ModelRule, ModelRules},
/// };
///
/// let rules = ModelRules::new().allow(
///     ModelRule::new(["meta-llama/*", "openai/gpt-oss-20b"])
///         .providers(["together"])
///         .policies([ProviderPolicy::Cheapest])
///         .tenant("https://issuer.example", "acme")
///         .scope("infer"),
/// );
/// let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
///     .with_tenant("acme")
///     .with_scopes(["infer"]);
/// let target = Target::new("openai/gpt-oss-20b").with_provider(Provider::Named("together".into()));
/// assert!(rules.allows(&target, Some(&caller)));
/// assert!(!rules.allows(&target, None));
/// let target = target.with_provider(Provider::Chosen(ProviderPolicy::Fastest));
/// assert!(!rules.allows(&target, Some(&caller)));
/// ```
#[derive(Clone, Debug)]
pub struct ModelRule {
    names: Vec<NamePattern>,
    providers: Vec<Box<str>>,
    policies: Vec<ProviderPolicy>,
    any_provider: bool,
    conditions: Vec<Condition>,
}

impl ModelRule {
    /// Creates a rule for models by their names.
    ///
    /// `org/name` is one model, `org/*` is every model of an owner and `*` is every model. Names are
    /// compared byte for byte. A star elsewhere in a name matches no model.
    pub fn new<T: Into<Box<str>>>(names: impl IntoIterator<Item = T>) -> Self {
        Self {
            names: names.into_iter().map(|name| NamePattern::new(name.into())).collect(),
            providers: Vec::new(),
            policies: Vec::new(),
            any_provider: false,
            conditions: Vec::new(),
        }
    }

    /// Adds providers by their names in suffixes and paths, such as `together` or `hf-inference`.
    ///
    /// By default the rule has no provider. It then allows only models of endpoints and servers, which
    /// have none.
    #[must_use]
    pub fn providers<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.providers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds policies by which the router may choose any provider of the model.
    ///
    /// By default the rule has no policy. A model without a suffix means [`ProviderPolicy::Fastest`].
    #[must_use]
    pub fn policies(mut self, policies: impl IntoIterator<Item = ProviderPolicy>) -> Self {
        self.policies.extend(policies);
        self
    }

    /// Allows any provider and any policy.
    ///
    /// The own routes of a provider are allowed only when [`providers`](Self::providers) lists it.
    #[must_use]
    pub const fn any_provider(mut self) -> Self {
        self.any_provider = true;
        self
    }

    /// Limits the rule to callers with a scope.
    #[must_use]
    pub fn scope(self, scope: impl Into<Box<str>>) -> Self {
        self.when(Condition::Scope(scope.into()))
    }

    /// Limits the rule to callers of an issuer.
    ///
    /// Use it with a scope or a claim when there are several issuers, because each issuer gives them a
    /// meaning of its own.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> Self {
        self.when(Condition::Issuer(issuer.into()))
    }

    /// Limits the rule to a tenant of an issuer.
    #[must_use]
    pub fn tenant(self, issuer: impl Into<Box<str>>, tenant: impl Into<Box<str>>) -> Self {
        self.issuer(issuer).when(Condition::Tenant(tenant.into()))
    }

    /// Limits the rule to one principal.
    #[must_use]
    pub fn principal(
        self,
        proof: Proof,
        issuer: impl Into<Box<str>>,
        subject: impl Into<Box<str>>,
    ) -> Self {
        self.issuer(issuer).when(Condition::Subject(proof, subject.into()))
    }

    /// Limits the rule to callers with a claim that equals `value` or is an array with it.
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
enum NamePattern {
    /// `*`, which also matches an unknown model.
    Any,
    /// `org/*`, stored as `org/`.
    Owner(Box<str>),
    Exact(Box<str>),
}

impl NamePattern {
    fn new(name: Box<str>) -> Self {
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

/// A condition on the caller.
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
