use std::fmt;

use crate::identity::Unmet;

/// Why a request is allowed or denied. [`AccessRules::explain`](super::AccessRules::explain) returns it.
///
/// `Display` writes it in words. It names rules and scopes. It shows no value of a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation(pub(super) Reason);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    AllowedBy(Box<str>),
    Denied(Vec<(Box<str>, Mismatch)>),
}

/// Why a rule does not allow a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Mismatch {
    Path,
    Method,
    Caller(Unmet),
}

impl Explanation {
    /// Returns the name of the rule that allows the request.
    #[must_use]
    pub fn allowed_by(&self) -> Option<&str> {
        match &self.0 {
            Reason::AllowedBy(rule) => Some(rule),
            Reason::Denied(_) => None,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = match &self.0 {
            Reason::AllowedBy(rule) => return write!(f, "allowed by rule `{rule}`"),
            Reason::Denied(rules) if rules.is_empty() => return f.write_str("denied: no rule"),
            Reason::Denied(rules) => rules,
        };
        f.write_str("denied")?;
        let mut separator = ":";
        for (rule, mismatch) in rules {
            write!(f, "{separator} rule `{rule}` ")?;
            match mismatch {
                Mismatch::Path => f.write_str("is for other paths")?,
                Mismatch::Method => f.write_str("is for other methods")?,
                Mismatch::Caller(Unmet::Scopes(scopes)) => {
                    write!(f, "needs the scopes `{scopes}`")?;
                }
                Mismatch::Caller(Unmet::Other(noun)) => write!(f, "needs another {noun}")?,
            }
            separator = ";";
        }
        Ok(())
    }
}
