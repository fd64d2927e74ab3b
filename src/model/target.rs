use std::{borrow::Cow, fmt};

/// The model and the provider that a request reaches. Both have the upstream's names.
///
/// Displayed in Hugging Face's form: `org/name:together` or `org/name:fastest`. An upstream without
/// providers has `org/name`. An unknown model is displayed as `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The model. `None` on an own route of a provider because each provider names the model differently.
    pub model: Option<Cow<'a, str>>,
    /// The provider.
    pub provider: Provider<'a>,
}

impl<'a> Target<'a> {
    /// Creates a target at an upstream without providers.
    #[must_use]
    pub fn new(model: impl Into<Cow<'a, str>>) -> Self {
        Self { model: Some(model.into()), provider: Provider::Own }
    }

    /// Sets the provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider<'a>) -> Self {
        self.provider = provider;
        self
    }

    /// Creates a target with an unknown model for an own route of a provider.
    pub(super) const fn unknown(provider: &'a str) -> Self {
        Self { model: None, provider: Provider::Route(provider) }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_deref().unwrap_or(UNKNOWN))?;
        match self.provider.as_str() {
            Some(provider) => write!(f, ":{provider}"),
            None => Ok(()),
        }
    }
}

/// Converts into the displayed text.
impl From<&Target<'_>> for Box<str> {
    fn from(target: &Target<'_>) -> Self {
        let model = target.model.as_deref().unwrap_or(UNKNOWN);
        match target.provider.as_str() {
            Some(provider) => [model, ":", provider].concat().into(),
            None => model.into(),
        }
    }
}

/// The displayed name of an unknown model.
const UNKNOWN: &str = "*";

/// The provider that computes a model.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Provider<'a> {
    /// The upstream itself. It has no providers.
    Own,
    /// The provider that the request names.
    Named(Cow<'a, str>),
    /// The provider of an own route (`/{provider}/…`).
    Route(&'a str),
    /// A provider that the router chooses.
    Chosen(ProviderPolicy),
}

impl Provider<'_> {
    /// Returns the text after the model's colon. `None` for an upstream without providers.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Own => None,
            Self::Named(name) => Some(name),
            Self::Route(name) => Some(name),
            Self::Chosen(policy) => Some(policy.as_str()),
        }
    }
}

/// How the router chooses a provider when the request names none.
///
/// It chooses among the providers that serve the model and that the account has not turned off.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ProviderPolicy {
    /// `:fastest` chooses by throughput. It is the default without a suffix.
    Fastest,
    /// `:cheapest` chooses by the price of a token.
    Cheapest,
    /// `:preferred` chooses by the order in the account's settings.
    Preferred,
}

impl ProviderPolicy {
    /// Returns the suffix without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fastest => "fastest",
            Self::Cheapest => "cheapest",
            Self::Preferred => "preferred",
        }
    }

    pub(super) fn from_suffix(suffix: &str) -> Option<Self> {
        let all = [Self::Fastest, Self::Cheapest, Self::Preferred];
        all.into_iter().find(|policy| policy.as_str() == suffix)
    }
}
