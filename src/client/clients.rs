//! hyper's clients.

use std::{error::Error as StdError, time::Duration};

use http::{Request, uri::Scheme};
use http_body::Body;
use hyper_util::client::legacy::{Client, ResponseFuture};

use super::connector::Connector;
use crate::address_reach::Reach;

/// One client for each way to treat connections.
pub(super) struct Clients<B> {
    /// Reuses connections to `http` upstreams.
    pub(super) http: Client<Connector, B>,
    /// Reuses connections to `https` upstreams.
    pub(super) https: Client<Connector, B>,
    /// Opens a connection for each request.
    pub(super) unpooled: Client<Connector, B>,
    /// Has connections to addresses that are not link-local.
    pub(super) not_link_local: Client<Connector, B>,
    /// Has connections to public addresses.
    pub(super) public: Client<Connector, B>,
    pub(super) retry_window: Duration,
    /// Whether every address may be reached without TLS.
    pub(super) plain_http: bool,
}

impl<B> Clients<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) fn send(&self, request: Request<B>) -> ResponseFuture {
        let https = request.uri().scheme() == Some(&Scheme::HTTPS);
        if https { self.https.request(request) } else { self.http.request(request) }
    }

    /// Sends a request to an address within `reach`.
    pub(super) fn send_within(&self, reach: Reach, request: Request<B>) -> ResponseFuture {
        match reach {
            Reach::NotLinkLocal => self.not_link_local.request(request),
            Reach::Public => self.public.request(request),
        }
    }
}
