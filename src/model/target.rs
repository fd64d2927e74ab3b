use std::{borrow::Cow, fmt};

/// The model and the provider that a request will reach, as the upstream calls them.
///
/// Displayed in the notation of Hugging Face: `org/name:together`, `org/name:fastest`, and without
/// a colon where there are no providers. A model that is unknown is a `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The model. `None` on a route of a provider's own, which says it in a way of its own.
    pub model: Option<Cow<'a, str>>,
    /// The provider.
    pub provider: Provider<'a>,
}

impl<'a> Target<'a> {
    /// The model of an upstream that has no providers to choose from.
    #[must_use]
    pub fn of(model: impl Into<Cow<'a, str>>) -> Self {
        Self { model: Some(model.into()), provider: Provider::Own }
    }

    /// The same model of a provider.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider<'a>) -> Self {
        self.provider = provider;
        self
    }

    /// Whatever model a route of the provider's own is about.
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

/// As it is displayed.
impl From<&Target<'_>> for Box<str> {
    fn from(target: &Target<'_>) -> Self {
        let model = target.model.as_deref().unwrap_or(UNKNOWN);
        match target.provider.as_str() {
            Some(provider) => [model, ":", provider].concat().into(),
            None => model.into(),
        }
    }
}

/// What stands for a model that is unknown.
const UNKNOWN: &str = "*";

/// Who computes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Provider<'a> {
    /// The upstream itself: there is none to choose.
    Own,
    /// The one that the request names.
    Named(Cow<'a, str>),
    /// The one whose own route it is: `/{provider}/…`.
    Route(&'a str),
    /// Any that the router picks.
    Chosen(Policy),
}

impl Provider<'_> {
    /// What stands after the model's colon; `None` for an upstream that has no providers.
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

/// How the router picks a provider where the request names none. It may pick any that serves the
/// model and that the account has not turned off.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// `:fastest`, by throughput. Also what no suffix means.
    Fastest,
    /// `:cheapest`, by the price of a token.
    Cheapest,
    /// `:preferred`, by the order in the account's settings.
    Preferred,
}

impl Policy {
    /// Its suffix, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fastest => "fastest",
            Self::Cheapest => "cheapest",
            Self::Preferred => "preferred",
        }
    }

    pub(super) fn of(suffix: &str) -> Option<Self> {
        let all = [Self::Fastest, Self::Cheapest, Self::Preferred];
        all.into_iter().find(|policy| policy.as_str() == suffix)
    }
}
