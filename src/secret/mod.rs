//! Secret strings that are never printed and that are wiped on drop.
//!
//! A [`Scrubber`] keeps secrets out of other strings.
//!
//! ```
//! use tower_inference::secret::Secret;
//!
//! let token = Secret::new("hf_example");
//! assert_eq!(token.expose(), "hf_example");
//! assert_eq!(format!("{token:?}"), "Secret(..)");
//! ```
//!
//! # Caveats
//!
//! Wipe the buffer or the environment variable that held the secret before. A `http::HeaderValue`
//! made from a secret is marked sensitive but not wiped.

#[cfg(any(feature = "access-log", feature = "hf"))]
mod escapes;
#[cfg(feature = "hf")]
mod masker;
#[cfg(feature = "hf")]
mod reading;
#[cfg(any(feature = "access-log", feature = "hf"))]
mod scrubber;
#[cfg(feature = "hf")]
mod trie;
mod value;

#[cfg(feature = "hf")]
pub(crate) use self::masker::Masker;
#[cfg(any(feature = "access-log", feature = "hf"))]
pub(crate) use self::scrubber::REDACTED;
#[cfg(any(feature = "access-log", feature = "hf"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "access-log", feature = "hf"))))]
pub use self::scrubber::Scrubber;
pub use self::value::Secret;
