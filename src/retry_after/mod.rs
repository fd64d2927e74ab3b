//! The time that an upstream asks a client to wait, in the forms in which upstreams write it.

mod date;
mod headers;
mod seconds;

pub(crate) use self::headers::{sent_at, stated_wait};
#[cfg(feature = "upstream")]
pub(crate) use self::{
    headers::RETRY_AFTER_MS,
    seconds::{number, reset},
};
