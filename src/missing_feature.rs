//! Bounds that nothing meets. A method whose feature is off has one, so that the compiler names the
//! feature.

/// Implemented for nothing.
#[cfg(not(feature = "decompression"))]
#[diagnostic::on_unimplemented(
    message = "the feature `decompression` of `tower-inference` is missing",
    label = "this method needs the feature `decompression`"
)]
#[expect(unnameable_types, reason = "no user needs the name")]
pub trait Decompression {}

/// Implemented for nothing.
#[cfg(all(feature = "cache", not(feature = "cache-compression")))]
#[diagnostic::on_unimplemented(
    message = "the feature `cache-compression` of `tower-inference` is missing",
    label = "this method needs the feature `cache-compression`"
)]
#[expect(unnameable_types, reason = "no user needs the name")]
pub trait CacheCompression {}
