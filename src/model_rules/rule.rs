use crate::{
    identity::{Callers, ClaimPath, ClaimUses, Identity},
    model::{Provider, ProviderPolicy, Target},
};

/// The rules that allow callers to use models. Without a rule nothing is allowed.
#[derive(Clone, Debug, Default)]
pub struct ModelRules {
    rules: Vec<ModelRule>,
    claims: ClaimUses,
}

impl ModelRules {
    /// Creates an empty set of rules, which allows nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { rules: Vec::new(), claims: ClaimUses::new() }
    }

    /// Adds a rule.
    #[must_use]
    pub fn allow(mut self, rule: ModelRule) -> Self {
        if let Some(callers) = &rule.callers {
            self.claims.add(callers);
        }
        self.rules.push(rule);
        self
    }

    /// Returns whether a rule has a condition on the caller.
    pub(super) fn need_identity(&self) -> bool {
        self.rules.iter().any(|rule| rule.callers.is_some())
    }

    /// Returns the callers of each rule that is limited to some.
    pub fn callers(&self) -> impl Iterator<Item = &Callers> {
        self.rules.iter().filter_map(|rule| rule.callers.as_ref())
    }

    /// Returns each claim that rules ask for and that no caller has had, with the number of requests
    /// since the start. A great number shows a wrong name. Clones share the counts.
    pub fn unseen_claims(&self) -> impl Iterator<Item = (&ClaimPath, u64)> {
        self.claims.unseen()
    }

    /// Counts the claims of a caller.
    pub(super) fn note(&self, caller: &Identity) {
        self.claims.note(caller);
    }

    /// Returns whether a caller may use `target`.
    #[must_use]
    pub fn allows(&self, target: &Target<'_>, caller: Option<&Identity>) -> bool {
        self.allowed_by(target, caller).is_some()
    }

    /// Returns which rule lets a caller use `target`: its place in the order in which the rules were
    /// added, from 0.
    #[must_use]
    pub fn allowed_by(&self, target: &Target<'_>, caller: Option<&Identity>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.covers(target) && rule.holds_for(caller))
    }
}

/// A rule that allows some callers to use some models of some providers.
///
/// ```
/// use tower_inference::{
///     identity::{Callers, Identity, Proof},
///     model::{ProviderPolicy, Provider, Target},
///     model_rules::{ModelRule, ModelRules},
/// };
///
/// let rules = ModelRules::new().allow(
///     ModelRule::new(["meta-llama/*", "openai/gpt-oss-20b"])
///         .providers(["together"])
///         .policies([ProviderPolicy::Cheapest])
///         .callers(Callers::new().tenant("https://issuer.example", "acme").scope("infer")),
/// );
/// let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
///     .with_tenant("acme")
///     .with_scopes(["infer"]);
/// let target = Target::new("openai/gpt-oss-20b").with_provider(Provider::Named("together".into()));
/// assert!(rules.allows(&target, Some(&caller)));
/// assert_eq!(rules.allowed_by(&target, Some(&caller)), Some(0));
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
    callers: Option<Callers>,
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
            callers: None,
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

    /// Limits the rule to some callers. By default it applies to all, anonymous callers included.
    ///
    /// A rule that asks for a tenant, a client, a role, a group or a plan needs a credential that has it.
    /// `AuthLayer::check_callers` finds rules that never hold.
    #[must_use]
    pub fn callers(self, callers: Callers) -> Self {
        Self { callers: Some(callers), ..self }
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
        self.callers
            .as_ref()
            .is_none_or(|callers| caller.is_some_and(|caller| callers.include(caller)))
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
