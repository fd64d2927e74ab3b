//! The permission to send a request without TLS.
//!
//! The code that knows an address allows plain `http` to it. The permission travels with the
//! request, so that the HTTP client needs no switch of its own.

use std::{error::Error, fmt};

#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
use http::{
    Request,
    uri::{Authority, Scheme},
};

#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
use crate::loopback::is_loopback_authority;

/// The permission for one authority. It is set on a request that may go there without TLS.
#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PlainHttpTo(Authority);

#[cfg(any(feature = "auth", feature = "hf"))]
impl PlainHttpTo {
    /// Returns the permission that requests to this address need, if they need one.
    pub(crate) fn needed(scheme: Option<&Scheme>, authority: &Authority) -> Option<Self> {
        (is_plain(scheme) && !is_loopback_authority(authority)).then(|| Self(authority.clone()))
    }

    /// Allows plain `http` to this authority.
    pub(crate) fn allow<B>(self, request: &mut Request<B>) {
        request.extensions_mut().insert(self);
    }
}

/// Returns the error for a request that would leave this machine without TLS and without
/// permission.
#[cfg(feature = "client")]
pub(crate) fn refused<B>(request: &Request<B>) -> Option<PlainHttpRefused> {
    let authority = request.uri().authority()?;
    let allowed = || request.extensions().get::<PlainHttpTo>().map(|allowed| &allowed.0);
    (is_plain(request.uri().scheme())
        && allowed() != Some(authority)
        && !is_loopback_authority(authority))
    .then(|| PlainHttpRefused { authority: authority.as_str().into() })
}

#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
fn is_plain(scheme: Option<&Scheme>) -> bool {
    scheme != Some(&Scheme::HTTPS)
}

/// A request was not sent, because it would have left this machine without TLS.
#[derive(Debug)]
#[cfg_attr(
    not(any(feature = "client", feature = "upstream")),
    expect(dead_code, reason = "made by the client")
)]
pub(crate) struct PlainHttpRefused {
    authority: Box<str>,
}

impl fmt::Display for PlainHttpRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without user information, which may hold a password.
        let place = self.authority.rsplit('@').next().unwrap_or_default();
        write!(
            f,
            "plain http to {place}: use https, or allow it where the address is given \
             (Origin::dangerous_plain_http, RemoteKeys::dangerous_plain_http) or for all requests \
             of the client (client::Builder::dangerous_plain_http)"
        )
    }
}

impl Error for PlainHttpRefused {}
