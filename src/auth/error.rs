use std::{error::Error, fmt};

use crate::error_debug::debug_as_message;

/// The reason that a setting of [`AuthLayer`](super::AuthLayer) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthError {
    /// Returned when the realm cannot be quoted in a challenge.
    InvalidRealm,
    /// Returned when the address of a protected resource is not an `https` URL without user
    /// information, query and fragment.
    InvalidResource,
    /// Returned when a rule asks for something that no credential of the layer has. The rule would never
    /// hold.
    UnknownFact {
        /// The name of the rule. Empty for the rule of another layer.
        rule: Box<str>,
        /// What the rule asks for, such as `role`.
        fact: &'static str,
    },
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRealm => "expected a realm of printable ASCII without quote and backslash",
            Self::InvalidResource => {
                "expected the public address of the gateway: an https URL, or http on loopback, \
                 without user information, query and fragment"
            }
            Self::UnknownFact { rule, fact } => {
                if rule.is_empty() {
                    f.write_str("a rule")?;
                } else {
                    write!(f, "the rule `{rule}`")?;
                }
                return write!(
                    f,
                    " asks for a {fact} and no credential of this layer has one; map a claim to it, or \
                     ask for the claim itself"
                );
            }
        })
    }
}

debug_as_message!(AuthError);

impl Error for AuthError {}
