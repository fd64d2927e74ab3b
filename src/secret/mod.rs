//! Strings that are wiped when dropped and never printed, and what keeps them out of other strings.
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

#[cfg(any(feature = "access-log", feature = "hf"))]
mod scrubber;
mod value;

#[cfg(any(feature = "access-log", feature = "hf"))]
pub(crate) use self::scrubber::REDACTED;
#[cfg(any(feature = "access-log", feature = "hf"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "access-log", feature = "hf"))))]
pub use self::scrubber::Scrubber;
pub use self::value::Secret;
