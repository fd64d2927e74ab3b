use std::{error::Error, fmt};

use super::{
    encoding::{decode, encode},
    layer::TransformLayer,
    step::Step,
    value::{Known, Source, unusable},
};
use crate::rejection::{Refusal, Rejection};

/// A path that is put in place of the caller's: fixed text, and values in it.
///
/// ```
/// use tower_inference::transform::{InvalidPath, Path, Source};
///
/// let path = Path::new("/tenants/{}/v1/chat/completions", [Source::tenant()])?;
/// # let _ = path;
/// assert_eq!(Path::new("/a/../b", []), Err(InvalidPath::Segment));
/// assert_eq!(Path::new("/{}/b", []), Err(InvalidPath::Values));
/// # Ok::<(), InvalidPath>(())
/// ```
///
/// A value is percent-encoded, so that it is a part of one segment and no more. One that would make
/// a dot segment or an empty one is refused with `forbidden` (403), and so is one with control
/// characters, or one that would be a dot segment to an upstream that decodes twice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path {
    // Fixed texts, with a value between each two.
    texts: Vec<Box<str>>,
    values: Vec<Source>,
}

impl Path {
    /// A path with a value for each `{}` in `text`.
    ///
    /// # Errors
    ///
    /// When the text is no absolute path in plain characters, has an empty or a dot segment, or
    /// another number of `{}` than there are values; and when a value is
    /// [optional](Source::optional).
    pub fn new(text: &str, values: impl IntoIterator<Item = Source>) -> Result<Self, InvalidPath> {
        let values: Vec<Source> = values.into_iter().collect();
        let texts: Vec<Box<str>> = text.split("{}").map(Into::into).collect();
        if texts.len() != values.len() + 1 || values.iter().any(Source::is_optional) {
            return Err(InvalidPath::Values);
        }
        check(&text.replace("{}", "x"))?;
        Ok(Self { texts, values })
    }

    fn written(&self, known: &Known<'_>) -> Result<String, Rejection> {
        let mut written = String::new();
        let mut values = self.values.iter();
        for text in &self.texts {
            written.push_str(text);
            if let Some(source) = values.next() {
                let value = source.value(known)?.unwrap_or_default();
                if value.chars().any(char::is_control) || is_dots(&decode(&value)) {
                    return Err(misplaced());
                }
                written.push_str(&encode(&value));
            }
        }
        // A value beside fixed text, as in `/.{}`.
        if written.split('/').skip(1).any(|segment| is_dots(segment.as_bytes())) {
            return Err(misplaced());
        }
        Ok(written)
    }
}

fn misplaced() -> Rejection {
    unusable("a value cannot stand in the path")
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Whether it is an absolute path of characters that need no encoding, without dot segments and
/// empty ones; a slash at the end may be.
fn check(path: &str) -> Result<(), InvalidPath> {
    let Some(rest) = path.strip_prefix('/') else { return Err(InvalidPath::Relative) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    if !rest.bytes().all(plain) {
        return Err(InvalidPath::Character);
    }
    let last = rest.split('/').count() - 1;
    let wrong = rest
        .split('/')
        .enumerate()
        .any(|(at, segment)| is_dots(segment.as_bytes()) || (segment.is_empty() && at != last));
    if wrong { Err(InvalidPath::Segment) } else { Ok(()) }
}

/// Why a path cannot be written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum InvalidPath {
    /// It does not begin with a slash.
    Relative,
    /// It holds a character that would have to be encoded.
    Character,
    /// It holds a dot segment, or an empty one.
    Segment,
    /// There are more or fewer values than places for them, or an optional one.
    Values,
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "a path begins with a slash",
            Self::Character => "the path holds a character that would have to be encoded",
            Self::Segment => "the path holds a dot segment or an empty one",
            Self::Values => "the path needs a value for each {}, and none that is optional",
        })
    }
}

impl Error for InvalidPath {}

/// An edit of the path.
#[derive(Clone, Debug)]
pub(super) enum PathEdit {
    Set(Path),
    StripPrefix(Box<str>),
    AddPrefix(Path),
}

impl PathEdit {
    pub(super) fn apply(&self, path: &mut String, known: &Known<'_>) -> Result<(), Rejection> {
        match self {
            Self::Set(other) => *path = other.written(known)?,
            Self::StripPrefix(prefix) => {
                // What would start with two slashes could be read as an authority (RFC 3986 section
                // 4.2).
                let rest = path.strip_prefix(&**prefix).filter(|rest| {
                    rest.is_empty() || rest.starts_with('/') && !rest.starts_with("//")
                });
                let rest = rest.ok_or_else(|| Rejection::new(Refusal::NotFound))?;
                *path = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
            }
            Self::AddPrefix(prefix) => {
                // `*` and the authorities of CONNECT are no paths.
                if !path.starts_with('/') {
                    return Err(Rejection::new(Refusal::NotFound));
                }
                let prefix = prefix.written(known)?;
                *path = format!("{}{path}", prefix.trim_end_matches('/'));
            }
        }
        Ok(())
    }
}

/// Edits of the path. The query stays.
impl TransformLayer {
    /// Puts another path in place of the caller's.
    #[must_use]
    pub fn set_path(self, path: Path) -> Self {
        self.step(Step::Path(PathEdit::Set(path)))
    }

    /// Takes segments from the start of the path: `/hf` makes `/v1/models` of `/hf/v1/models`. A
    /// path that does not start with them is refused with `not-found`. A slash at the prefix's end
    /// is nothing.
    #[must_use]
    pub fn strip_path_prefix(self, prefix: &str) -> Self {
        self.step(Step::Path(PathEdit::StripPrefix(prefix.trim_end_matches('/').into())))
    }

    /// Puts segments before the path. A slash at the prefix's end is nothing.
    #[must_use]
    pub fn add_path_prefix(self, prefix: Path) -> Self {
        self.step(Step::Path(PathEdit::AddPrefix(prefix)))
    }
}
