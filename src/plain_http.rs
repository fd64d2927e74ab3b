//! The permission to send a request without TLS.
//!
//! The code that knows an address allows plain `http` to it. The permission travels with the
//! request, so that the HTTP client needs no switch of its own.

use std::{error::Error, fmt};

#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
use http::{
    Request, Uri,
    uri::{Authority, Scheme},
};

#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
use crate::loopback::is_loopback;

/// Set on a request that may go to this authority without TLS.
#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
#[derive(Clone)]
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "read by the client"))]
struct PlainHttpTo(Authority);

/// Allows plain `http` to the address of the request.
#[cfg(any(feature = "auth", feature = "hf"))]
pub(crate) fn allow<B>(request: &mut Request<B>) {
    if let Some(authority) = exposed(request.uri()).cloned() {
        request.extensions_mut().insert(PlainHttpTo(authority));
    }
}

/// Returns the error for a request that would leave this machine without TLS and without
/// permission.
#[cfg(feature = "client")]
pub(crate) fn refused<B>(request: &Request<B>) -> Option<PlainHttpRefused> {
    let authority = exposed(request.uri())?;
    let allowed = request.extensions().get::<PlainHttpTo>().map(|allowed| &allowed.0);
    (allowed != Some(authority)).then(|| PlainHttpRefused { authority: authority.as_str().into() })
}

/// Returns the authority of an address on another machine that is reached without TLS.
#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
fn exposed(uri: &Uri) -> Option<&Authority> {
    let authority = uri.authority()?;
    let plain = uri.scheme() != Some(&Scheme::HTTPS) && !is_loopback(authority.host());
    plain.then_some(authority)
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
