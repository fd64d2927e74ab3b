//! One place where a document breaks its schema, and the words for it.

use std::borrow::Cow;

use jsonschema::{JsonType, JsonTypeSet, ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

use crate::{
    payload::{self, Document},
    rejection::Violation,
};

/// A place, and what is expected there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding<'e> {
    /// Of the value it is about. Grows as the document goes on.
    pub(super) index: u32,
    /// Where the value is, as the validator says.
    pub(super) path: &'e str,
    /// Below the path still.
    pub(super) below: Below,
    pub(super) keyword: Cow<'e, str>,
    pub(super) expected: Expected<'e>,
}

/// What a finding is about, below its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Below {
    Nothing,
    /// The member of the object with this index that has the finding's index.
    MemberOf(u32),
    /// The name of that member.
    NameIn(u32),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected<'e> {
    /// A value of one of these types.
    Types(Types),
    /// One of these values.
    Options(Vec<&'e Value>),
    /// A member of one of these names.
    Required(Vec<&'e str>),
    /// That this member was not here.
    Known,
    /// That it is in order otherwise.
    Other(Plain<'e>),
}

/// A kind that stands for itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'e>(&'e Kind);

impl PartialEq for Plain<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

// === impl Finding ===

impl<'e> Finding<'e> {
    /// How many tokens the pointer to it has.
    pub(super) fn depth(&self) -> usize {
        depth(self.path) + usize::from(self.below != Below::Nothing)
    }

    /// The types that would do, when the value is of another.
    pub(super) fn mistyped(&self, document: &Document) -> Option<Types> {
        match &self.expected {
            Expected::Types(types) => Some(*types),
            Expected::Options(options) => {
                let types = options
                    .iter()
                    .fold(Types::default(), |types, option| types.with(JsonType::from(*option)));
                let own = json_type(document.node(self.index).kind());
                (!types.0.contains(own)).then_some(types)
            }
            _ => None,
        }
    }

    /// What is answered.
    pub(super) fn violation(&self, document: &Document) -> Violation {
        let mut pointer = self.path.to_owned();
        let mut detail = self.expected.to_string();
        if let Below::MemberOf(object) | Below::NameIn(object) = self.below {
            let mut members = document.node(object).members();
            let member = members.find(|(_, value)| value.index() == self.index);
            let name = member.map(|(name, _)| name).unwrap_or_default();
            // RFC 6901 section 3. Of a name that is too long, as much as shows that it is.
            pointer.push('/');
            pointer
                .push_str(&start_of(&name, LONGEST_POINTER).replace('~', "~0").replace('/', "~1"));
        }
        if matches!(self.below, Below::NameIn(_)) {
            detail.insert_str(0, "its name ");
        }
        if pointer.len() > LONGEST_POINTER {
            // A pointer to where it is in is true still; one without its end is not.
            let end = pointer.get(..=LONGEST_POINTER).map_or_else(
                || start_of(&pointer, LONGEST_POINTER).rfind('/'),
                |start| start.rfind('/'),
            );
            pointer.truncate(end.unwrap_or_default());
            detail.insert_str(0, "further in, something ");
        }
        Violation::new(pointer, self.keyword.clone().into_owned(), detail)
    }
}

/// How many bytes a pointer has at most.
const LONGEST_POINTER: usize = 256;

/// How many tokens a pointer has.
pub(super) fn depth(pointer: &str) -> usize {
    pointer.bytes().filter(|byte| *byte == b'/').count()
}

/// The start of a text, of so many bytes at most.
pub(super) fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

const fn json_type(kind: payload::Kind) -> JsonType {
    match kind {
        payload::Kind::Null => JsonType::Null,
        payload::Kind::Bool => JsonType::Boolean,
        payload::Kind::Number => JsonType::Number,
        payload::Kind::String => JsonType::String,
        payload::Kind::Array => JsonType::Array,
        payload::Kind::Object => JsonType::Object,
    }
}

// === impl Types ===

/// Types of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Types(JsonTypeSet);

impl Types {
    pub(super) fn of(kind: &jsonschema::error::TypeKind) -> Self {
        match kind {
            jsonschema::error::TypeKind::Single(kind) => Self((*kind).into()),
            jsonschema::error::TypeKind::Multiple(kinds) => Self(*kinds),
        }
    }

    fn with(self, kind: JsonType) -> Self {
        Self(self.0.insert(kind))
    }

    pub(super) fn and(self, other: Self) -> Self {
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
        // An integer is a number.
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

// === impl Expected ===

impl<'e> Expected<'e> {
    pub(super) fn of(error: &'e ValidationError<'_>) -> Self {
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
            kind => Self::Other(Plain(kind)),
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
            Self::Known => f.write_str("is not known here"),
            Self::Other(kind) => write!(f, "{}", kind),
        }
    }
}

impl std::fmt::Display for Plain<'_> {
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
                f.write_str("cannot be held against its pattern")
            }
            Kind::Format { format } => write!(f, "must have the format {}", cut(format)),
            Kind::ContentEncoding { content_encoding } => {
                write!(f, "must be encoded as {}", cut(content_encoding))
            }
            Kind::ContentMediaType { content_media_type } => {
                write!(f, "must hold {}", cut(content_media_type))
            }
            Kind::FromUtf8 { .. } => f.write_str("must hold UTF-8"),
            Kind::Contains => {
                f.write_str("must hold the elements it has to contain, and no more of them")
            }
            Kind::UniqueItems => f.write_str("must not hold the same element twice"),
            Kind::UnevaluatedItems { .. } => f.write_str("holds elements that are not known here"),
            Kind::FalseSchema => f.write_str("is not allowed here"),
            Kind::Not { .. } => f.write_str("must not be what the schema rules out"),
            Kind::OneOfMultipleValid { .. } => {
                f.write_str("must fit one of the alternatives, and fits more than one")
            }
            Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
                f.write_str("must fit one of the alternatives")
            }
            Kind::Referencing(_) => f.write_str("cannot be judged, for the schema is not whole"),
            // Said elsewhere, or by a keyword that is not ours: its message may hold the value.
            Kind::Custom { .. }
            | Kind::AdditionalProperties { .. }
            | Kind::Constant { .. }
            | Kind::Enum { .. }
            | Kind::PropertyNames { .. }
            | Kind::Required { .. }
            | Kind::Type { .. }
            | Kind::UnevaluatedProperties { .. } => f.write_str("is not as the schema says"),
        }
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How many options and names are told.
pub(super) const MOST_OPTIONS: usize = 16;

fn list<'a>(mut options: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut told = options.by_ref().take(MOST_OPTIONS).collect::<Vec<_>>().join(", ");
    if options.next().is_some() {
        told.push_str(", …");
    }
    told
}

/// A value of the schema: a string without its quotes, another as JSON.
fn short(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(string) => cut(string),
        Value::Array(_) => Cow::Borrowed("a certain array"),
        Value::Object(_) => Cow::Borrowed("a certain object"),
        scalar => Cow::Owned(cut(&scalar.to_string()).into_owned()),
    }
}

/// A text of the schema, of 64 bytes at most.
fn cut(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 64;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", start_of(text, LONGEST)))
}
