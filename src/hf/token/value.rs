use std::{error::Error, fmt, io};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::{model::TokenHeader, secret::Secret};

/// A token in the two forms of its header.
pub(crate) struct Token {
    bearer: HeaderValue,
    plain: HeaderValue,
}

impl Token {
    /// Accepts visible ASCII only (RFC 6750 section 2.1). A space or a line break inside shows that the
    /// text is something else.
    pub(super) fn new(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        let sensitive = |value: &str| {
            let mut value = HeaderValue::try_from(value).map_err(|_| TokenError::Malformed)?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self { bearer: sensitive(&format!("Bearer {token}"))?, plain: sensitive(token)? })
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

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// An error from reading a token. It never contains the text that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// The environment has no variable of this name.
    ///
    /// The name is empty when it looks like a token that was passed by mistake.
    NoVariable(String),
    /// The file cannot be read.
    Unreadable(io::ErrorKind),
    /// The path does not lead to a regular file.
    NotAFile,
    /// The file is larger than 16 KiB.
    TooLarge,
    /// The text is empty or blank.
    Empty,
    /// The text contains something other than visible ASCII, such as a space.
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
            Self::NotAFile => f.write_str("the token's path does not lead to a regular file"),
            Self::TooLarge => f.write_str("the token's file is larger than 16 KiB"),
            Self::Empty => f.write_str("the token is empty"),
            Self::Malformed => f.write_str("the token must consist of visible ASCII"),
        }
    }
}

impl Error for TokenError {}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn only_visible_ascii_is_a_token() {
        assert_eq!(Token::new("").unwrap_err(), TokenError::Empty);
        for token in ["a b", "a\n", "\u{feff}a", "ä", "a\0", "Bearer a", "a\tb", "\u{7f}"] {
            assert_eq!(Token::new(token).unwrap_err(), TokenError::Malformed, "{token:?}");
        }
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
