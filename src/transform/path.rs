use std::{borrow::Cow, error::Error, fmt};

use http::Uri;

use super::{
    encoding::{decode, encode},
    layer::TransformLayer,
    step::Step,
    target::Target,
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
/// A value is percent-encoded, all but the unreserved characters (RFC 3986 section 2.3), so that it
/// is a part of one segment and no more. It may hold slashes, as the names of models do (`org%2Fmodel`),
/// but to an upstream that decodes them it must not mean another path: one with a dot segment or an
/// empty one between them, or encoded in it, is refused with `forbidden` (403).
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
                if misleads(value.as_bytes(), |segment| segment.is_empty() || is_dots(segment)) {
                    return Err(misplaced());
                }
                written.push_str(&encode(&value));
            }
        }
        // A value beside fixed text, as in `/.{}`.
        if misleads(written.as_bytes(), is_dots) {
            return Err(misplaced());
        }
        Ok(written)
    }

    /// As [`written`](Self::written), to stand before another path.
    fn written_before(&self, known: &Known<'_>) -> Result<String, Rejection> {
        let mut written = self.written(known)?;
        written.truncate(written.trim_end_matches('/').len());
        Ok(written)
    }
}

fn misplaced() -> Rejection {
    unusable("a value cannot stand in the path")
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Whether a server could find a segment in `path` that is `wrong`: one that decodes before it
/// splits, or more than once, or that takes a backslash for a slash.
fn misleads(path: &[u8], wrong: impl Fn(&[u8]) -> bool) -> bool {
    const DECODINGS: usize = 4;
    let mut path = Cow::Borrowed(path);
    for _ in 0..DECODINGS {
        if path.split(|byte| matches!(byte, b'/' | b'\\')).any(&wrong) {
            return true;
        }
        // What holds a triplet becomes shorter.
        let decoded = match decode(&path) {
            Cow::Owned(decoded) if decoded.len() < path.len() => decoded,
            _ => return false,
        };
        path = Cow::Owned(decoded);
    }
    true
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
    StripPrefix(Path),
    AddPrefix(Path),
}

impl PathEdit {
    pub(super) fn apply(
        &self,
        target: &mut Target,
        uri: &Uri,
        known: &Known<'_>,
    ) -> Result<(), Rejection> {
        let path = target.path(uri);
        let edited = match self {
            Self::Set(other) => other.written(known)?,
            // Of what stays of the caller's path, nothing may lead out of a prefix.
            Self::StripPrefix(_) | Self::AddPrefix(_) if misleads(path.as_bytes(), is_dots) => {
                return Err(unusable("a path with dot segments cannot be edited"));
            }
            Self::StripPrefix(prefix) => {
                let prefix = prefix.written_before(known)?;
                // What would start with two slashes could be read as an authority (RFC 3986 section
                // 4.2).
                let rest = path.strip_prefix(&*prefix).filter(|rest| {
                    rest.is_empty() || rest.starts_with('/') && !rest.starts_with("//")
                });
                let rest = rest.ok_or_else(|| Rejection::new(Refusal::NotFound))?;
                if rest.is_empty() { "/" } else { rest }.to_owned()
            }
            Self::AddPrefix(prefix) => {
                // `*` and the authorities of CONNECT are no paths.
                if !path.starts_with('/') {
                    return Err(Rejection::new(Refusal::NotFound));
                }
                format!("{}{path}", prefix.written_before(known)?)
            }
        };
        target.set_path(edited);
        Ok(())
    }
}

/// Edits of the path. The query stays. A path of the caller's with a dot segment in it, however
/// encoded, is set but neither stripped nor prefixed: to an upstream that resolves it, it would lead
/// out of the prefix.
impl TransformLayer {
    /// Puts another path in place of the caller's.
    #[must_use]
    pub fn set_path(self, path: Path) -> Self {
        self.step(Step::Path(PathEdit::Set(path)))
    }

    /// Takes segments from the start of the path: `/hf` makes `/v1/models` of `/hf/v1/models`. A
    /// path that does not start with them, byte for byte, is refused with `not-found`: one for a
    /// `/{}` of the tenant is left to that tenant alone. A slash at the prefix's end is nothing.
    #[must_use]
    pub fn strip_path_prefix(self, prefix: Path) -> Self {
        self.step(Step::Path(PathEdit::StripPrefix(prefix)))
    }

    /// Puts segments before the path. A slash at the prefix's end is nothing.
    #[must_use]
    pub fn add_path_prefix(self, prefix: Path) -> Self {
        self.step(Step::Path(PathEdit::AddPrefix(prefix)))
    }
}
