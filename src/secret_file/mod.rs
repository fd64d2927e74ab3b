//! A file with secrets that requests re-read.
//!
//! Secrets rotate while a gateway runs. Kubernetes swaps a symlink, Vault's agent renames a file and
//! people edit in place. No event and no timestamp tells all of these changes, so the content does.
//! A request re-reads the file at most once a second. A bad or half-written file keeps the last good
//! value.
//!
//! # Caveats
//!
//! The request that finds a new content parses it. Other requests use the last value meanwhile. A
//! file above 64 KiB is read again only after its metadata changed.

#[cfg(any(feature = "auth", feature = "hf"))]
mod file;
mod read;

#[cfg(all(test, unix, any(feature = "auth", feature = "hf")))]
mod tests;

#[cfg(any(feature = "auth", feature = "hf"))]
pub(crate) use self::file::SecretFile;
#[cfg(feature = "audit")]
pub(crate) use self::read::read_once;
pub(crate) use self::read::{FileFault, FileRules};
