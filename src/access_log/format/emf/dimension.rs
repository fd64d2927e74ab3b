use std::borrow::Cow;

use crate::record::Record;

/// A dimension of the metrics.
///
/// CloudWatch bills each combination of values as a metric of its own. All dimensions here have few values.
/// The id of a request and its caller are none on purpose.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Dimension {
    /// `Stage`: the name of the stage.
    Stage,
    /// `Route`: the name of the route.
    Route,
    /// `Method`: a method of RFC 9110 or PATCH. All others are `_OTHER`.
    Method,
    /// `StatusClass`: `2xx` and its like.
    StatusClass,
    /// `Outcome`: see [`RequestOutcome`](crate::record::RequestOutcome).
    Outcome,
    /// `Refusal`: the slug of the rejection.
    Refusal,
    /// `Limit`: the name of the limit that rejected the request.
    Limit,
    /// `Cache`: how the cache took part.
    Cache,
    /// `Upstream`: the origin.
    Upstream,
    /// `Model`: one of [`Emf::models`](crate::access_log::Emf::models). All others are `other`.
    Model,
}

/// The name of models and methods that are not listed would be chosen by clients.
const OTHER_MODEL: &str = "other";
const OTHER_METHOD: &str = "_OTHER";
const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Dimension {
    pub(super) const ALL: &'static [Self] = &[
        Self::Stage,
        Self::Route,
        Self::Method,
        Self::StatusClass,
        Self::Outcome,
        Self::Refusal,
        Self::Limit,
        Self::Cache,
        Self::Upstream,
        Self::Model,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stage => "Stage",
            Self::Route => "Route",
            Self::Method => "Method",
            Self::StatusClass => "StatusClass",
            Self::Outcome => "Outcome",
            Self::Refusal => "Refusal",
            Self::Limit => "Limit",
            Self::Cache => "Cache",
            Self::Upstream => "Upstream",
            Self::Model => "Model",
        }
    }

    /// Returns the value for a request. `None` when it has none.
    pub(super) fn value<'a>(
        self,
        models: &'a [Box<str>],
        record: &'a Record<'_>,
    ) -> Option<Cow<'a, str>> {
        let value = match self {
            Self::Stage => record.stage(),
            Self::Route => record.route(),
            Self::Method => {
                METHODS.iter().copied().find(|own| *own == record.method()).or(Some(OTHER_METHOD))
            }
            Self::StatusClass => {
                let class = record.status().map(|status| usize::from(status.as_u16() / 100));
                class.and_then(|class| CLASSES.get(class.checked_sub(1)?).copied())
            }
            Self::Outcome => Some(record.outcome().as_str()),
            Self::Refusal => record.refusal(),
            Self::Limit => record.limit(),
            Self::Cache => record.cache().map(|cache| cache.as_str()),
            Self::Upstream => record.upstream(),
            Self::Model => record.model().map(|model| {
                models.iter().map(|own| &**own).find(|own| *own == model).unwrap_or(OTHER_MODEL)
            }),
        };
        value.and_then(valid)
    }
}

/// Returns the value as CloudWatch takes it: printable ASCII that is not blank.
fn valid(value: &str) -> Option<Cow<'_, str>> {
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte);
    if value.trim_ascii().is_empty() {
        None
    } else if value.bytes().all(is_printable) {
        Some(Cow::Borrowed(value))
    } else {
        let printable = value
            .chars()
            .map(|character| if (' '..='~').contains(&character) { character } else { '?' });
        Some(Cow::Owned(printable.collect()))
    }
}
