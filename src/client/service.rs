use std::{
    error::Error as StdError,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Version};
use http_body::Body;
use tower_service::Service;

use super::{
    again::Again,
    builder::{BuildError, Builder},
    clients::Clients,
    error::Error,
    future::{ResponseBody, ResponseFuture},
    sent_body::SentBody,
};
use crate::{
    address_reach::{AddressRefused, Reach},
    payload::Payload,
    plain_http,
};

/// A pooled client for HTTPS and for plain HTTP to this machine. Its requests have a body `B`. Clones
/// share the pool. See the [module docs](super).
pub struct HttpsClient<B = Payload> {
    // A stack is cloned for each request and hyper's client clones itself once more.
    clients: Arc<Clients<B>>,
}

// For one body type, so that `HttpsClient::builder()` needs no annotation.
impl HttpsClient {
    /// Returns the default settings.
    pub const fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// Builds a client for a stack and for fetching keys. Its requests have a [`Payload`].
    ///
    /// # Errors
    ///
    /// Returns a [`BuildError`] when the roots cannot be used.
    pub fn build(self) -> Result<HttpsClient, BuildError> {
        self.build_for()
    }

    /// Builds a client whose requests have a body `B`, for a service without a `PayloadLayer`.
    ///
    /// # Errors
    ///
    /// Returns a [`BuildError`] when the roots cannot be used.
    pub fn build_for<B>(self) -> Result<HttpsClient<B>, BuildError>
    where
        B: Body + Send,
        B::Data: Send,
    {
        Ok(HttpsClient { clients: Arc::new(self.clients()?) })
    }
}

impl<B> Clone for HttpsClient<B> {
    fn clone(&self) -> Self {
        Self { clients: Arc::clone(&self.clients) }
    }
}

impl<B> fmt::Debug for HttpsClient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClient").finish_non_exhaustive()
    }
}

impl<B, T> Service<Request<T>> for HttpsClient<B>
where
    B: SentBody<T> + Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // hyper's client opens connections as requests come.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<T>) -> ResponseFuture<B> {
        let mut request = request.map(B::sent);
        // The connection decides the version. A request that a server took over HTTP/2 says so, and
        // the pool would refuse it over HTTP/1.1.
        *request.version_mut() = Version::HTTP_11;
        if !self.clients.plain_http
            && let Some(refused) = plain_http::refused(&request)
        {
            return ResponseFuture::refused(refused);
        }
        if let Some(reach) = Reach::of(&request) {
            // The connector resolves names only.
            return if reach.allows_host(request.uri().host().unwrap_or_default()) {
                ResponseFuture::new(self.clients.send_within(reach, request), None)
            } else {
                ResponseFuture::refused(AddressRefused { reach })
            };
        }
        let again = Again::copy(&request, &self.clients);
        ResponseFuture::new(self.clients.send(request), again)
    }
}
