//! Copies of requests, for the case that one must be sent again.

mod buffered;
mod request_copy;
#[cfg(any(feature = "client", feature = "fallback"))]
mod stateless;

pub(crate) use self::request_copy::RequestCopy;
#[cfg(feature = "fallback")]
pub(crate) use self::stateless::is_stateless;
