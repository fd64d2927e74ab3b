use std::{borrow::Cow, fmt, io, sync::Arc};

use super::key::ApiKeyError;
use crate::{error_debug::debug_as_message, printable::Printable, secret_file::FileFault};

/// An error from loading API keys: the place, the entry and the fault.
///
/// [`Display`](fmt::Display) and [`Debug`] print all three with the remedy, for the operator. They never
/// print a key.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct ApiKeysError {
    /// The reason.
    pub fault: ApiKeysFault,
    /// The entry at fault. `None` for a fault of the whole list.
    pub entry: Option<ApiKeysEntry>,
    /// The path of the file. `None` for keys that the program gave.
    pub place: Option<Arc<str>>,
}

/// An entry of a list of API keys. It names itself by its place, its id or both.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ApiKeysEntry {
    /// The number of entries before it. `None` for a fault that several entries share.
    pub index: Option<usize>,
    /// The id. `None` if the entry has no usable one.
    pub id: Option<Arc<str>>,
}

/// The reason that API keys cannot be loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ApiKeysFault {
    /// Returned when the file cannot be read.
    Unreadable(io::ErrorKind),
    /// Returned when the path does not lead to a regular file.
    NotAFile,
    /// Returned when the file has more than this number of bytes.
    TooLarge(usize),
    /// Returned when the group or others can write the file. Its permission bits are given.
    Writable(u32),
    /// Returned when the content is not the expected JSON. The text says how it differs and contains
    /// none of it.
    Malformed(Cow<'static, str>),
    /// Returned when the output of AWS is one page of several.
    TruncatedPage,
    /// Returned when there are more than 1,000,000 keys.
    TooManyKeys,
    /// Returned when an entry has a member of this name, which has no meaning.
    UnknownMember(Arc<str>),
    /// Returned when an entry has this member twice.
    RepeatedMember(&'static str),
    /// Returned when an entry lacks this member.
    MissingMember(&'static str),
    /// Returned when the value of a member is not as expected.
    InvalidMember {
        /// The name of the member.
        name: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// Returned when an entry has neither `key` nor `digest`.
    NoKey,
    /// Returned when an entry has both `key` and `digest`.
    KeyAndDigest,
    /// Returned when a key cannot be used.
    InvalidKey(ApiKeyError),
    /// Returned when another entry has the same key. Its id is given.
    RepeatedKey(Arc<str>),
    /// Returned when another key of the same id has another tenant.
    OtherTenant,
    /// Returned when the header of keys is `authorization`, `proxy-authorization`, `cookie` or `host`.
    ReservedHeader,
}

impl ApiKeysError {
    /// Names the path of the file.
    pub(super) fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(Printable(place).to_string().into());
        self
    }
}

impl ApiKeysFault {
    /// Names the entry at fault.
    pub(super) fn of_entry(self, index: usize, id: Option<&str>) -> ApiKeysError {
        let entry = ApiKeysEntry { index: Some(index), id: id.map(printable) };
        ApiKeysError { fault: self, entry: Some(entry), place: None }
    }

    /// Names the id whose entries are at fault.
    pub(super) fn of_id(self, id: &str) -> ApiKeysError {
        let entry = ApiKeysEntry { index: None, id: Some(printable(id)) };
        ApiKeysError { fault: self, entry: Some(entry), place: None }
    }
}

fn printable(text: &str) -> Arc<str> {
    Printable(text).to_string().into()
}

impl From<ApiKeysFault> for ApiKeysError {
    fn from(fault: ApiKeysFault) -> Self {
        Self { fault, entry: None, place: None }
    }
}

impl From<FileFault> for ApiKeysError {
    fn from(fault: FileFault) -> Self {
        Self::from(match fault {
            FileFault::Unreadable(kind) => ApiKeysFault::Unreadable(kind),
            FileFault::NotAFile => ApiKeysFault::NotAFile,
            FileFault::TooLarge { max_bytes } => ApiKeysFault::TooLarge(max_bytes),
            FileFault::Writable { mode } => ApiKeysFault::Writable(mode),
        })
    }
}

impl fmt::Display for ApiKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(entry) = &self.entry {
            match (entry.index, &entry.id) {
                (Some(index), Some(id)) => write!(f, "entry {index} (id `{id}`): ")?,
                (Some(index), None) => write!(f, "entry {index}: ")?,
                (None, Some(id)) => write!(f, "id `{id}`: ")?,
                (None, None) => {}
            }
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for ApiKeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => FileFault::Unreadable(*kind).fmt(f),
            Self::NotAFile => FileFault::NotAFile.fmt(f),
            Self::TooLarge(max_bytes) => FileFault::TooLarge { max_bytes: *max_bytes }.fmt(f),
            Self::Writable(mode) => {
                FileFault::Writable { mode: *mode }.fmt(f)?;
                f.write_str(", or allow it with ApiKeyFile::dangerous_writable")
            }
            Self::Malformed(reason) => write!(f, "expected a JSON array of keys: {reason}"),
            Self::TruncatedPage => f.write_str(
                "it is one page of several: run `aws apigateway get-api-keys --include-values` \
                 without --no-paginate, --max-items and --limit",
            ),
            Self::TooManyKeys => f.write_str("it has more than 1000000 keys: use ApiKeys::store"),
            Self::UnknownMember(name) => write!(
                f,
                "unknown member `{name}`; the members are id, key, digest, tenant, scopes, roles, \
                 plan, expires and disabled"
            ),
            Self::RepeatedMember(name) => write!(f, "it has `{name}` twice"),
            Self::MissingMember("value") => f.write_str(
                "it has no `value`: run `aws apigateway get-api-keys` with --include-values",
            ),
            Self::MissingMember(name) => write!(f, "it has no `{name}`"),
            Self::InvalidMember { name, expected } => write!(f, "`{name}` is not {expected}"),
            Self::NoKey => f.write_str("it has neither `key` nor `digest`"),
            Self::KeyAndDigest => f.write_str("it has both `key` and `digest`: remove the key"),
            Self::InvalidKey(error) => error.fmt(f),
            Self::RepeatedKey(id) => write!(
                f,
                "it has the same key as an entry with the id `{id}`: a key belongs to one entry"
            ),
            Self::OtherTenant => {
                f.write_str("another key of this id has another tenant: use another id")
            }
            Self::ReservedHeader => f.write_str(
                "this header has another meaning; a key in `authorization: Bearer KEY` is read unless \
                 header_only is set",
            ),
        }
    }
}

debug_as_message!(ApiKeysError);

impl std::error::Error for ApiKeysError {}
