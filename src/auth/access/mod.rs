//! Rules that allow callers to use routes.
//!
//! A valid credential says who calls. It does not say that the caller may use each route. Without rules
//! every caller may. With [`AccessRules`] a request passes if one rule allows it, and no other does.

mod explanation;
mod path_pattern;
mod rule;
mod rules;

pub use self::{explanation::Explanation, rule::AccessRule, rules::AccessRules};
