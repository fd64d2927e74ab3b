use std::{
    error::Error,
    fmt, io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use zeroize::Zeroizing;

use crate::{
    error_debug::debug_as_message, file_reason::FileReason, model::TokenHeader,
    printable::Printable, secret::Secret,
};

/// A token in the two forms of its header. Both are wiped when the last copy is dropped.
pub(crate) struct Token {
    bearer: HeaderValue,
    plain: HeaderValue,
    accepted: AtomicBool,
}

impl Token {
    /// Accepts visible ASCII only (RFC 6750 section 2.1). A space or a line break inside shows that the
    /// text is something else.
    pub(super) fn new(token: &str) -> Result<Self, TokenFault> {
        if let Some(fault) = TokenFault::of(token) {
            return Err(fault);
        }
        Ok(Self {
            bearer: sensitive(&["Bearer ", token])?,
            plain: sensitive(&[token])?,
            accepted: AtomicBool::new(false),
        })
    }

    /// Returns whether this is the token `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        self.plain.as_bytes() == text.as_bytes()
    }

    /// Notes that the upstream has served a request with this token.
    pub(crate) fn accept(&self) {
        // Most requests only read, so that they share the cache line.
        if !self.was_accepted() {
            self.accepted.store(true, Relaxed);
        }
    }

    pub(super) fn was_accepted(&self) -> bool {
        self.accepted.load(Relaxed)
    }

    /// Sets the token's header to a sensitive value and removes any other `authorization`.
    pub(crate) fn insert_into(&self, headers: &mut HeaderMap, header: &TokenHeader) {
        match header {
            TokenHeader::Bearer => {
                headers.insert(AUTHORIZATION, self.bearer.clone());
            }
            TokenHeader::Plain(name) => {
                headers.remove(AUTHORIZATION);
                headers.insert(name.clone(), self.plain.clone());
            }
        }
    }

    /// Returns the token itself.
    pub(super) fn secret(&self) -> Secret {
        Secret::new(self.plain.to_str().unwrap_or_default())
    }
}

/// Joins `parts` to a sensitive value whose bytes are wiped with its last copy.
fn sensitive(parts: &[&str]) -> Result<HeaderValue, TokenFault> {
    // Full capacity at once, because a growing buffer leaves unwiped copies behind.
    let length = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
    let value = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes));
    let mut value = value.map_err(|_| TokenFault::Malformed)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// An error from reading a token: the place of the token and the fault.
///
/// [`Display`](fmt::Display) and [`Debug`] print both with the remedy. They never print the text that
/// was read.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct TokenError {
    /// The reason.
    pub fault: TokenFault,
    /// The name of the environment variable or the path of the file. `None` for a token that the
    /// program gave. Also `None` for a name or path that looks like a token, which was passed by
    /// mistake.
    pub place: Option<Box<str>>,
}

/// The reason why a token cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenFault {
    /// The environment has no variable of this name.
    NoVariable,
    /// The file cannot be read.
    Unreadable(io::ErrorKind),
    /// The path does not lead to a regular file.
    NotAFile,
    /// The file is larger than 16 KiB.
    TooLarge,
    /// The group of the file or others can write it, by its permission bits on Unix.
    Writable {
        /// The permission bits.
        mode: u32,
    },
    /// The text is empty or blank.
    Empty,
    /// The text begins or ends with a quote.
    Quoted,
    /// The text begins with `Bearer`, which the layer writes itself.
    Scheme,
    /// The text has a line break.
    LineBreak,
    /// The text has a space or a tab.
    Space,
    /// The text contains something else than visible ASCII.
    Malformed,
}

impl TokenFault {
    /// Names the place of the token.
    pub(super) fn at(self, place: Option<Box<str>>) -> TokenError {
        TokenError { fault: self, place }
    }

    /// Returns what is wrong with a token.
    pub(super) fn of(token: &str) -> Option<Self> {
        let trimmed = token.trim();
        let quotes = ['"', '\'', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
        let scheme = trimmed.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("bearer"));
        if trimmed.is_empty() {
            Some(Self::Empty)
        } else if trimmed.starts_with(quotes) || trimmed.ends_with(quotes) {
            Some(Self::Quoted)
        } else if scheme && trimmed.get(6..).is_some_and(|rest| rest.starts_with([' ', ':'])) {
            Some(Self::Scheme)
        } else if token.contains(['\n', '\r']) {
            Some(Self::LineBreak)
        } else if token.contains([' ', '\t']) {
            Some(Self::Space)
        } else {
            let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
            (!plain).then_some(Self::Malformed)
        }
    }
}

impl From<TokenFault> for TokenError {
    fn from(fault: TokenFault) -> Self {
        Self { fault, place: None }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            self.fault.fmt(f)?;
            // Every other path is the place of its error.
            return match self.fault {
                TokenFault::Unreadable(_) | TokenFault::NotAFile => f.write_str(
                    "; its path is not shown because it looks like a token, which \
                     TokenSource::value takes",
                ),
                _ => Ok(()),
            };
        };
        match self.fault {
            TokenFault::NoVariable if place.is_empty() => f.write_str(
                "the name of the environment variable is empty; give a name such as HF_TOKEN",
            ),
            TokenFault::NoVariable => {
                write!(f, "the environment has no variable {place}; export it to this process")
            }
            _ => write!(f, "{place}: {}", self.fault),
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVariable => {
                "the environment has no variable of the given name, which is not shown because it \
                 looks like a token; TokenSource::env takes the name of a variable and \
                 TokenSource::value a token"
            }
            Self::Unreadable(kind) => {
                return write!(f, "the token's file cannot be read: {}", FileReason(*kind));
            }
            Self::NotAFile => "the token's path does not lead to a regular file",
            Self::TooLarge => "the token's file is larger than 16 KiB",
            Self::Writable { mode } => {
                return write!(
                    f,
                    "the group of the token's file or others can write it (mode {mode:o}); run `chmod \
                     go-w` on it"
                );
            }
            Self::Empty => "the token is empty",
            Self::Quoted => "the token has quotes around it; remove them",
            Self::Scheme => {
                "the token begins with `Bearer`; leave the word away, because the layer writes it"
            }
            Self::LineBreak => {
                "the token has a line break; trim the text, or read it with TokenSource::file, which \
                 ignores blank space at the end"
            }
            Self::Space => {
                "the token has a space or a tab; trim the text, and give nothing but the token"
            }
            Self::Malformed => {
                "the token has a character other than visible ASCII; trim the text, and remove \
                 characters that editors hide, such as a byte-order mark"
            }
        })
    }
}

debug_as_message!(TokenError);

impl Error for TokenError {}

/// Returns a path, or nothing when it may be a token that was passed by mistake.
pub(super) fn shown_path(path: &Path) -> Option<Box<str>> {
    const STARTS: [&str; 4] = ["hf_", "api_", "sk-", "eyJ"];
    let text = Printable(path.display()).to_string();
    let is_word = !text.contains(['/', '\\']);
    let is_long = text.len() >= 20 && !text.contains('.');
    let is_token = is_word && (is_long || STARTS.iter().any(|start| text.starts_with(start)));
    (!is_token).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn only_visible_ascii_is_a_token() {
        for (token, fault) in [
            ("", TokenFault::Empty),
            ("\n", TokenFault::Empty),
            ("\"a\"", TokenFault::Quoted),
            ("'a", TokenFault::Quoted),
            ("\u{201c}a\u{201d}", TokenFault::Quoted),
            ("Bearer a", TokenFault::Scheme),
            ("bearer: a", TokenFault::Scheme),
            ("a\n", TokenFault::LineBreak),
            ("a\r\nb", TokenFault::LineBreak),
            ("a b", TokenFault::Space),
            ("a\tb", TokenFault::Space),
            ("\u{feff}a", TokenFault::Malformed),
            ("ä", TokenFault::Malformed),
            ("a\0", TokenFault::Malformed),
            ("\u{7f}", TokenFault::Malformed),
        ] {
            assert_eq!(Token::new(token).unwrap_err(), fault, "{token:?}");
        }
        assert!(Token::new("Bearer").is_ok() && Token::new("bearer_a").is_ok());
    }

    #[test]
    fn a_token_is_inserted_as_sensitive_and_never_printed() {
        let token = Token::new("hf_secret").unwrap();
        assert_eq!(token.secret().expose(), "hf_secret");
        let name = HeaderName::from_static("x-api-key");
        for (header, at, value) in [
            (TokenHeader::Bearer, AUTHORIZATION, "Bearer hf_secret"),
            (TokenHeader::Plain(name.clone()), name, "hf_secret"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer the-callers"));
            token.insert_into(&mut headers, &header);
            assert_eq!(headers.len(), 1);
            assert!(headers[&at].is_sensitive());
            assert_eq!(headers[&at], value);
            assert!(!format!("{token:?} {headers:?}").contains("hf_secret"));
        }
    }
}
