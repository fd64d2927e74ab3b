use std::{error::Error, fmt, io};

use http::HeaderValue;

use crate::secret::Secret;

/// A token as it is sent.
pub(super) struct Token {
    field: HeaderValue,
}

impl Token {
    /// Takes visible ASCII only: no token has more (RFC 6750 section 2.1), and a space or a line
    /// break inside says that something else was read.
    pub(super) fn new(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        let field = HeaderValue::try_from(format!("Bearer {token}"));
        let mut field = field.map_err(|_| TokenError::Malformed)?;
        field.set_sensitive(true);
        Ok(Self { field })
    }

    /// The value of `authorization`, marked sensitive.
    pub(super) fn field(&self) -> HeaderValue {
        self.field.clone()
    }

    /// The token itself.
    pub(super) fn secret(&self) -> Secret {
        let token = self.field.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
        Secret::new(str::from_utf8(token).unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why there is no token. Never holds what was read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// The environment has no such variable. Holds its name, unless that looks like a token: one
    /// that is given where its variable's name belongs must not be repeated.
    NoVariable(String),
    /// The file cannot be read.
    Unreadable(io::ErrorKind),
    /// The path is not a regular file's.
    NotAFile,
    /// The file is larger than 16 KiB.
    TooLarge,
    /// There is nothing, or blank space alone.
    Empty,
    /// There is more than visible ASCII: a space or a line break inside, or no text at all.
    Malformed,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVariable(name) if name.is_empty() => {
                f.write_str("the environment has no variable of the given name")
            }
            Self::NoVariable(name) => write!(f, "the environment has no variable {name}"),
            Self::Unreadable(kind) => write!(f, "the token's file cannot be read: {kind}"),
            Self::NotAFile => f.write_str("the token's path is not a regular file's"),
            Self::TooLarge => f.write_str("the token's file is larger than 16 KiB"),
            Self::Empty => f.write_str("the token is empty"),
            Self::Malformed => f.write_str("the token is not visible ASCII throughout"),
        }
    }
}

impl Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_is_a_token() {
        assert_eq!(Token::new("").unwrap_err(), TokenError::Empty);
        for token in ["a b", "a\n", "\u{feff}a", "ä", "a\0", "Bearer a", "a\tb", "\u{7f}"] {
            assert_eq!(Token::new(token).unwrap_err(), TokenError::Malformed, "{token:?}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = Token::new("hf_secret").unwrap();
        assert_eq!(token.secret().expose(), "hf_secret");
        assert!(token.field().is_sensitive());
        assert_eq!(token.field().as_bytes(), b"Bearer hf_secret");
        assert!(!format!("{token:?} {:?}", token.field()).contains("hf_secret"));
    }
}
