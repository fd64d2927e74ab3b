//! Strings that are wiped when dropped and never printed.
//!
//! ```
//! use tower_inference::secret::Secret;
//!
//! let token = Secret::new("hf_example");
//! assert_eq!(token.expose(), "hf_example");
//! assert_eq!(format!("{token:?}"), "Secret(..)");
//! ```
//!
//! # Limits
//!
//! What the caller read the secret from (an environment, a file's buffer) is the caller's to wipe,
//! and a `http::HeaderValue` made from it is marked sensitive but not wiped.

use std::fmt;

use zeroize::Zeroizing;

/// A token, key or password.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The secret itself. Named so that every place that reads one can be found.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
