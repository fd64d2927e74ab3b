use std::fmt;

/// The place of a claim in a token: the name of a member, then of a member in it.
///
/// A text is split at its dots. A text with `://` is one name, because issuers name their own claims
/// by URLs, which have dots. An array gives each name as it is.
///
/// ```
/// use tower_inference::auth::ClaimPath;
///
/// assert_eq!(ClaimPath::from("realm_access.roles"), ["realm_access", "roles"].into());
/// assert_eq!(ClaimPath::from("https://acme.example/plan"), ["https://acme.example/plan"].into());
/// // Names with dots are given one by one.
/// let account = ClaimPath::from(["https://sts.amazonaws.com/", "aws_account"]);
/// assert_eq!(account.to_string(), "https://sts.amazonaws.com/.aws_account");
/// ```
///
/// Names are compared exactly. An element of an array has no name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClaimPath {
    first: Box<str>,
    rest: Box<[Box<str>]>,
}

impl ClaimPath {
    /// Returns the name of the claim in the token.
    pub(in crate::auth::token) const fn first(&self) -> &str {
        &self.first
    }

    /// Returns the names of the members within the claim.
    pub(in crate::auth::token) const fn rest(&self) -> &[Box<str>] {
        &self.rest
    }

    fn of<'a>(mut names: impl Iterator<Item = &'a str>) -> Self {
        let first = names.next().unwrap_or_default().into();
        Self { first, rest: names.map(Into::into).collect() }
    }
}

impl From<&str> for ClaimPath {
    fn from(text: &str) -> Self {
        if text.contains("://") { Self::of([text].into_iter()) } else { Self::of(text.split('.')) }
    }
}

impl From<String> for ClaimPath {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl<const N: usize> From<[&str; N]> for ClaimPath {
    fn from(names: [&str; N]) -> Self {
        Self::of(names.into_iter())
    }
}

/// Formats the names with dots between them.
impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        self.rest.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}
