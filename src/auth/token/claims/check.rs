//! Conditions that an identity provider's own claims must meet.

use super::reader::{ClaimProblem, ClaimReader};
use crate::identity::ClaimPath;

/// The start of the subject of a Kubernetes service account:
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ClaimCheck {
    /// The claim is this string.
    Equals { path: ClaimPath, value: Box<str> },
    /// The claim is absent or one of these strings.
    AbsentOrOneOf { path: ClaimPath, values: &'static [&'static str] },
    /// One of the claims is a non-empty string.
    Any(Vec<ClaimPath>),
    /// The subject is a service account of the namespace that the claim names.
    ServiceAccountOf(ClaimPath),
}

impl ClaimCheck {
    pub(crate) fn check(&self, claims: &ClaimReader<'_>) -> Result<(), ClaimProblem> {
        match self {
            Self::Equals { path, value } => match claims.string(path)? {
                Some(text) if *text == **value => Ok(()),
                Some(_) => Err(ClaimProblem::of(path, "is not the expected one")),
                None => Err(ClaimProblem::of(path, "is missing")),
            },
            Self::AbsentOrOneOf { path, values } => match claims.string(path)? {
                Some(text) if !values.contains(&text) => {
                    Err(ClaimProblem::of(path, "is not an accepted one"))
                }
                Some(_) | None => Ok(()),
            },
            Self::Any(paths) => {
                if claims.first_string(paths)?.is_some() {
                    return Ok(());
                }
                let first = paths.first().map(|path| ClaimProblem::of(path, "is missing"));
                first.map_or(Ok(()), Err)
            }
            Self::ServiceAccountOf(path) => {
                let namespace = claims.string(path)?;
                let namespace = namespace.ok_or_else(|| ClaimProblem::of(path, "is missing"))?;
                let subject = claims.string(&ClaimPath::from("sub"))?.unwrap_or_default();
                let account = subject
                    .strip_prefix(SERVICE_ACCOUNT)
                    .and_then(|rest| rest.strip_prefix(namespace))
                    .and_then(|rest| rest.strip_prefix(':'));
                if account.is_some_and(|name| !name.is_empty() && !name.contains(':')) {
                    return Ok(());
                }
                Err(ClaimProblem::of(
                    &ClaimPath::from("sub"),
                    "is not a service account of the token's namespace",
                ))
            }
        }
    }
}
