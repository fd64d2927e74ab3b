//! Describes the expected value at one position.

use jsonschema::{JsonType, JsonTypeSet, ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

use super::text::{cut, list, many, short};
use crate::payload;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected<'e> {
    /// A value of one of these types.
    Types(Types),
    /// One of these values.
    Options(Vec<&'e Value>),
    /// A member with one of these names.
    Required(Vec<&'e str>),
    /// The absence of this member.
    Known,
    /// Another rule.
    Other(OtherKind<'e>),
}

/// A kind of error that describes itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherKind<'e>(&'e Kind);

impl PartialEq for OtherKind<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Types of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Types(JsonTypeSet);

impl Types {
    pub(crate) fn of(kind: &jsonschema::error::TypeKind) -> Self {
        match kind {
            jsonschema::error::TypeKind::Single(kind) => Self((*kind).into()),
            jsonschema::error::TypeKind::Multiple(kinds) => Self(*kinds),
        }
    }

    pub(crate) fn with(self, kind: JsonType) -> Self {
        Self(self.0.insert(kind))
    }

    pub(crate) fn contains(self, kind: JsonType) -> bool {
        self.0.contains(kind)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        other.0.iter().fold(self, Self::with)
    }
}

impl std::fmt::Display for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WORDS: [(JsonType, &str); 7] = [
            (JsonType::String, "a string"),
            (JsonType::Integer, "an integer"),
            (JsonType::Number, "a number"),
            (JsonType::Boolean, "a boolean"),
            (JsonType::Array, "an array"),
            (JsonType::Object, "an object"),
            (JsonType::Null, "null"),
        ];
        // `number` includes integers.
        let any_number = self.0.contains(JsonType::Number);
        let words: Vec<&str> = WORDS
            .iter()
            .filter(|(kind, _)| self.0.contains(*kind))
            .filter(|(kind, _)| !(any_number && *kind == JsonType::Integer))
            .map(|(_, word)| *word)
            .collect();
        match words.as_slice() {
            [] => f.write_str("nothing"),
            [one] => f.write_str(one),
            [most @ .., last] => write!(f, "{} or {last}", most.join(", ")),
        }
    }
}

impl<'e> Expected<'e> {
    pub(crate) fn of(error: &'e ValidationError<'_>) -> Self {
        match error.kind() {
            Kind::Type { kind } => Self::Types(Types::of(kind)),
            Kind::Constant { expected_value } => Self::Options(vec![expected_value]),
            Kind::Enum { options } => match options.as_array() {
                Some(options) => Self::Options(options.iter().collect()),
                None => Self::Options(vec![options]),
            },
            Kind::Required { property } => {
                Self::Required(vec![property.as_str().unwrap_or_default()])
            }
            kind => Self::Other(OtherKind(kind)),
        }
    }
}

impl std::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Types(types) => write!(f, "must be {types}"),
            Self::Options(options) => match options.as_slice() {
                [] => f.write_str("is not allowed here"),
                [one] => write!(f, "must be {}", short(one)),
                many => {
                    write!(f, "must be one of: {}", list(many.iter().map(|option| short(option))))
                }
            },
            Self::Required(names) => match names.as_slice() {
                [one] => write!(f, "{} is required", cut(one)),
                many => {
                    write!(f, "one of these is required: {}", list(many.iter().map(|n| cut(n))))
                }
            },
            Self::Known => f.write_str("is unknown here"),
            Self::Other(kind) => write!(f, "{}", kind),
        }
    }
}

impl std::fmt::Display for OtherKind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Kind::MinItems { limit: 1 }
            | Kind::MinLength { limit: 1 }
            | Kind::MinProperties { limit: 1 } => f.write_str("must not be empty"),
            Kind::MaxItems { limit } => {
                write!(f, "must not have more than {}", many(*limit, "element"))
            }
            Kind::AdditionalItems { limit } => {
                write!(f, "must not have more than {}", many(*limit as u64, "element"))
            }
            Kind::MinItems { limit } => write!(f, "must have at least {}", many(*limit, "element")),
            Kind::MaxLength { limit } => {
                write!(f, "must not be longer than {}", many(*limit, "character"))
            }
            Kind::MinLength { limit } => {
                write!(f, "must not be shorter than {}", many(*limit, "character"))
            }
            Kind::MaxProperties { limit } => {
                write!(f, "must not have more than {}", many(*limit, "member"))
            }
            Kind::MinProperties { limit } => {
                write!(f, "must have at least {}", many(*limit, "member"))
            }
            Kind::Maximum { limit } => write!(f, "must be at most {}", short(limit)),
            Kind::Minimum { limit } => write!(f, "must be at least {}", short(limit)),
            Kind::ExclusiveMaximum { limit } => write!(f, "must be less than {}", short(limit)),
            Kind::ExclusiveMinimum { limit } => write!(f, "must be more than {}", short(limit)),
            Kind::MultipleOf { multiple_of } => write!(f, "must be a multiple of {multiple_of}"),
            Kind::Pattern { pattern } => write!(f, "must match the pattern {}", cut(pattern)),
            Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
                f.write_str("cannot be matched against its pattern")
            }
            Kind::Format { format } => write!(f, "must have the format {}", cut(format)),
            Kind::ContentEncoding { content_encoding } => {
                write!(f, "must be encoded as {}", cut(content_encoding))
            }
            Kind::ContentMediaType { content_media_type } => {
                write!(f, "must hold {}", cut(content_media_type))
            }
            Kind::FromUtf8 { .. } => f.write_str("must hold UTF-8"),
            Kind::Contains => f.write_str("must contain the required elements and not more"),
            Kind::UniqueItems => f.write_str("must not contain the same element twice"),
            Kind::UnevaluatedItems { .. } => f.write_str("has unknown elements"),
            Kind::FalseSchema => f.write_str("is not allowed here"),
            Kind::Not { .. } => f.write_str("must not match the excluded schema"),
            Kind::OneOfMultipleValid { .. } => {
                f.write_str("must match one of the alternatives and matches several")
            }
            Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
                f.write_str("must match one of the alternatives")
            }
            Kind::Referencing(_) => {
                f.write_str("cannot be checked because the schema is incomplete")
            }
            // Covered above or caused by a custom keyword, whose message may contain the value.
            Kind::Custom { .. }
            | Kind::AdditionalProperties { .. }
            | Kind::Constant { .. }
            | Kind::Enum { .. }
            | Kind::PropertyNames { .. }
            | Kind::Required { .. }
            | Kind::Type { .. }
            | Kind::UnevaluatedProperties { .. } => f.write_str("does not match the schema"),
        }
    }
}

pub(crate) const fn json_type(kind: payload::Kind) -> JsonType {
    match kind {
        payload::Kind::Null => JsonType::Null,
        payload::Kind::Bool => JsonType::Boolean,
        payload::Kind::Number => JsonType::Number,
        payload::Kind::String => JsonType::String,
        payload::Kind::Array => JsonType::Array,
        payload::Kind::Object => JsonType::Object,
    }
}
