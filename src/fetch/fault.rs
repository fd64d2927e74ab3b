//! Why a fetch fails.

use std::{error::Error, io, sync::Arc};

use crate::{
    address_reach::{AddressRefused, Reach},
    causes::causes,
    printable::Printable,
};

/// A failed fetch without its address. Each public error has these faults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FetchFault {
    /// The address is not an absolute URL, for this reason.
    InvalidUrl(&'static str),
    /// The address uses plain `http` and its host, which is given, is not this machine.
    InsecureUrl(Arc<str>),
    /// The host is or resolves to addresses that the request must not reach.
    AddressRefused { host: Arc<str>, reach: Reach },
    /// The connection fails or breaks.
    Unreachable(Option<io::ErrorKind>),
    /// There is no whole response in time.
    Timeout,
    /// The response is too large.
    TooLarge,
}

impl FetchFault {
    /// Keeps the kind of the I/O error among the causes. The message of an error may hold a URL.
    pub(super) fn of_client(error: impl Into<Box<dyn Error + Send + Sync>>, host: &str) -> Self {
        let error = error.into();
        let refused = causes(&*error).find_map(|cause| cause.downcast_ref::<AddressRefused>());
        if let Some(refused) = refused {
            return Self::AddressRefused { host: short(host), reach: refused.reach };
        }
        Self::Unreachable(
            causes(&*error).find_map(|cause| cause.downcast_ref().map(io::Error::kind)),
        )
    }
}

/// Returns text from outside in one line of at most 200 characters.
pub(crate) fn short(text: impl std::fmt::Display) -> Arc<str> {
    let text = Printable(text).to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}
