use std::{borrow::Cow, error::Error, fmt};

use http::Uri;

use super::{
    encoding::{decode, encode},
    uri::UriEdits,
};
use crate::{
    error_debug::debug_as_message,
    rejection::{Refusal, Rejection},
    transform::value::{RequestValues, ValueSource, unusable},
};

/// A path of fixed text and values of the request.
///
/// ```
/// use tower_inference::transform::{PathError, PathTemplate, ValueSource};
///
/// let path = PathTemplate::new("/tenants/{}/v1/chat/completions", [ValueSource::tenant()])?;
/// # let _ = path;
/// assert_eq!(PathTemplate::new("/a/../b", []), Err(PathError::Segment));
/// assert_eq!(PathTemplate::new("/{}/b", []), Err(PathError::Values));
/// # Ok::<(), PathError>(())
/// ```
///
/// Everything in a value except unreserved characters is percent-encoded (RFC 3986 section 2.3), so a
/// value stays within one segment. It may contain slashes, as the names of models do (`org%2Fmodel`).
/// A value with a dot segment or an empty segment in any encoding is rejected with 403 `forbidden`,
/// because an upstream that decodes it would read another path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathTemplate {
    // Fixed texts with one value between each two.
    texts: Vec<Box<str>>,
    values: Vec<ValueSource>,
}

impl PathTemplate {
    /// Creates a template with a value for each `{}` in `text`.
    ///
    /// # Errors
    ///
    /// Returns a [`PathError`] when the text is not an absolute path in plain characters or has an empty
    /// or a dot segment. Also when the number of values differs from the number of `{}` or a value is
    /// [optional](ValueSource::optional).
    pub fn new(
        text: &str,
        values: impl IntoIterator<Item = ValueSource>,
    ) -> Result<Self, PathError> {
        let values: Vec<ValueSource> = values.into_iter().collect();
        let texts: Vec<Box<str>> = text.split("{}").map(Into::into).collect();
        if texts.len() != values.len() + 1 || values.iter().any(ValueSource::is_optional) {
            return Err(PathError::Values);
        }
        check(&text.replace("{}", "x"))?;
        Ok(Self { texts, values })
    }

    fn render(&self, request: &RequestValues<'_>) -> Result<String, Rejection> {
        let mut written = String::new();
        let mut values = self.values.iter();
        for text in &self.texts {
            written.push_str(text);
            if let Some(source) = values.next() {
                let value = source.value(request)?.unwrap_or_default();
                if has_segment(value.as_bytes(), |segment| segment.is_empty() || is_dots(segment)) {
                    return Err(invalid_value());
                }
                written.push_str(&encode(&value));
            }
        }
        // Fixed text and a value may form a dot segment together, as in `/.{}`.
        if has_segment(written.as_bytes(), is_dots) {
            return Err(invalid_value());
        }
        Ok(written)
    }

    /// Renders the template without a slash at its end.
    fn render_prefix(&self, request: &RequestValues<'_>) -> Result<String, Rejection> {
        let mut written = self.render(request)?;
        written.truncate(written.trim_end_matches('/').len());
        Ok(written)
    }
}

fn invalid_value() -> Rejection {
    unusable("a value is not valid in the path")
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Returns whether some server may find a `wrong` segment in `path`.
///
/// Servers may decode before they split, decode more than once or read a backslash as a slash.
fn has_segment(path: &[u8], wrong: impl Fn(&[u8]) -> bool) -> bool {
    const DECODINGS: usize = 4;
    let mut path = Cow::Borrowed(path);
    for _ in 0..DECODINGS {
        if path.split(|byte| matches!(byte, b'/' | b'\\')).any(&wrong) {
            return true;
        }
        // Decoding a triplet makes the path shorter.
        let decoded = match decode(&path) {
            Cow::Owned(decoded) if decoded.len() < path.len() => decoded,
            _ => return false,
        };
        path = Cow::Owned(decoded);
    }
    true
}

/// Checks that a path is absolute and needs no encoding, without dot segments and empty segments. A
/// slash at the end is fine.
fn check(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::Relative) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c);
    if let Some(other) = rest.chars().find(|c| !plain(*c)) {
        return Err(PathError::Character(other));
    }
    let last = rest.split('/').count() - 1;
    let wrong = rest
        .split('/')
        .enumerate()
        .any(|(at, segment)| is_dots(segment.as_bytes()) || (segment.is_empty() && at != last));
    if wrong { Err(PathError::Segment) } else { Ok(()) }
}

/// An error from creating a [`PathTemplate`].
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not begin with a slash.
    Relative,
    /// The path has this character, which needs encoding.
    Character(char),
    /// The path has a dot segment or an empty segment.
    Segment,
    /// The number of values differs from the number of `{}`, or a value is optional.
    Values,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "the path must begin with a slash",
            Self::Character(character @ ('{' | '}')) => {
                return write!(f, "the path has `{character}`; the place of a value is {{}}");
            }
            Self::Character(character @ ('?' | '#')) => {
                return write!(
                    f,
                    "the path has {character:?}; TransformLayer::set_query sets a query"
                );
            }
            Self::Character(character) => {
                return write!(f, "the path has {character:?}, which needs encoding");
            }
            Self::Segment => "the path has a dot segment or an empty segment",
            Self::Values => "the path needs one value for each {}, none of them optional",
        })
    }
}

debug_as_message!(PathError);

impl Error for PathError {}

/// An edit of the path.
#[derive(Clone, Debug)]
pub(crate) enum PathEdit {
    Set(PathTemplate),
    StripPrefix(PathTemplate),
    AddPrefix(PathTemplate),
}

impl PathEdit {
    pub(crate) fn apply(
        &self,
        edits: &mut UriEdits,
        uri: &Uri,
        values: &RequestValues<'_>,
    ) -> Result<(), Rejection> {
        let current = edits.path(uri);
        let edited = match self {
            Self::Set(path) => path.render(values)?,
            // The rest of the client's path must not lead out of a prefix.
            Self::StripPrefix(_) | Self::AddPrefix(_)
                if has_segment(current.as_bytes(), is_dots) =>
            {
                return Err(unusable("the path has a dot segment"));
            }
            Self::StripPrefix(prefix) => {
                let prefix = prefix.render_prefix(values)?;
                // A path that starts with two slashes could be read as an authority (RFC 3986
                // section 4.2).
                let rest = current.strip_prefix(&*prefix).filter(|rest| {
                    rest.is_empty() || rest.starts_with('/') && !rest.starts_with("//")
                });
                let rest = rest.ok_or_else(|| Rejection::new(Refusal::NotFound))?;
                if rest.is_empty() { "/" } else { rest }.to_owned()
            }
            Self::AddPrefix(prefix) => {
                // `*` and the authority of CONNECT are not paths.
                if !current.starts_with('/') {
                    return Err(Rejection::new(Refusal::NotFound));
                }
                format!("{}{current}", prefix.render_prefix(values)?)
            }
        };
        edits.set_path(edited);
        Ok(())
    }
}
