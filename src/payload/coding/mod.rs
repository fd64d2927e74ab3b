//! Checks and decodes content codings.

#[cfg(feature = "decompression")]
mod brotli;
#[cfg(feature = "decompression")]
mod chunks;
#[cfg_attr(not(feature = "decompression"), path = "disabled.rs")]
pub(crate) mod decoder;
pub(crate) mod error;
#[cfg(feature = "decompression")]
mod gzip;
pub(crate) mod header;
#[cfg(feature = "decompression")]
mod step;
#[cfg(feature = "decompression")]
mod zstd;
