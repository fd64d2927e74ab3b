//! OutputBound limits in the query.

use std::{borrow::Cow, ops::RangeInclusive};

use percent_encoding::percent_decode_str;

use super::member_names::{KnownMember, MemberRole, known};
use crate::{
    payload::whole_number,
    rejection::{Refusal, Rejection, Violation},
};

/// The output limits of a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct QueryLimits {
    /// The greatest limit.
    pub(crate) tokens: Option<u64>,
    /// The number of completions.
    pub(crate) choices: u64,
}

impl QueryLimits {
    pub(crate) const NONE: Self = Self { tokens: None, choices: 1 };

    /// Reads a query. A limit that is not a number within the range is rejected.
    pub(super) fn of(query: &str, range: &RangeInclusive<i64>) -> Result<Self, Rejection> {
        let mut limits = Self::NONE;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(KnownMember { name: known, role }) = known(&decoded(name)) else { continue };
            let number = || whole_number(decoded(value).trim());
            match role {
                MemberRole::Limit => {
                    let within = |tokens: &u64| {
                        i64::try_from(*tokens).is_ok_and(|tokens| range.contains(&tokens))
                    };
                    let tokens = number().filter(within).ok_or_else(|| rejection(known, range))?;
                    limits.tokens = limits.tokens.max(Some(tokens));
                }
                MemberRole::Count => {
                    limits.choices = limits.choices.max(number().unwrap_or_default())
                }
                MemberRole::Container
                | MemberRole::Mark(_)
                | MemberRole::Inputs
                | MemberRole::Holder => {}
            }
        }
        Ok(limits)
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    match percent_decode_str(text).decode_utf8_lossy() {
        text if text.contains('+') => Cow::Owned(text.replace('+', " ")),
        text => text,
    }
}

fn rejection(name: &str, range: &RangeInclusive<i64>) -> Rejection {
    let detail = format!("must be a number of at least 1 and at most {}", range.end());
    let violation = Violation::new(format!("/query/{name}"), "maximum", detail);
    Rejection::new(Refusal::InvalidParameters).with_violations(vec![violation])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_counts_are_found_in_every_spelling() {
        let limits =
            |query| QueryLimits::of(query, &(1..=100)).map_err(|rejection| rejection.refusal());
        let tokens = |tokens| Ok(QueryLimits { tokens: Some(tokens), choices: 1 });
        for query in ["", "&&", "a=b", "max_tokens_=500", "temperature=5", "n", "n=x"] {
            assert_eq!(limits(query), Ok(QueryLimits::NONE), "{query}");
        }
        for query in [
            "max_new_tokens=100",
            "a&max_%6eew_tokens=%31%30%30",
            "max_tokens=+100",
            "max_tokens=1e2",
        ] {
            assert_eq!(limits(query), tokens(100), "{query}");
        }
        for query in [
            "max_new_tokens=101",
            "max_new_tokens=99999999999999999999",
            "max_new_tokens=5&max_new_tokens=101",
            "max_new_tokens=-1",
            "max_new_tokens=0",
            "max_new_tokens=",
            "max_new_tokens",
            "max_new_tokens=1e9",
            "max_new_tokens=%EF%BC%99%EF%BC%99%EF%BC%99",
            "Max_New_Tokens=101",
            "%6dax_new_tokens=101",
            "n_predict=101",
        ] {
            assert_eq!(limits(query), Err(Refusal::InvalidParameters), "{query}");
        }
        let both = limits("num_return_sequences=50.0&max_length=7.0");
        assert_eq!(both, Ok(QueryLimits { tokens: Some(7), choices: 50 }));
    }
}
