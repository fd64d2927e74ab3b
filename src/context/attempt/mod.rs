//! The attempts of a request: each time that it is sent to an upstream.

mod access;
#[expect(clippy::module_inception, reason = "the main type of the module")]
mod attempt;
mod level;
mod list;
#[cfg(feature = "access-log")]
mod observer;
#[cfg(feature = "access-log")]
mod server;
#[cfg(feature = "access-log")]
mod spans;

pub use self::attempt::{AbandonReason, Attempt};
#[cfg(any(feature = "hf", feature = "upstream"))]
pub(crate) use self::level::Level;
pub(super) use self::list::AttemptList;
#[cfg(feature = "access-log")]
pub(crate) use self::{
    list::Attempts,
    observer::{AttemptObserver, ClientSpans},
    server::server_of,
    spans::name_server,
};
