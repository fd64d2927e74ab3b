use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

use http::{Extensions, HeaderMap, Method, Request, Uri};

use super::request_context::RequestContext;
use crate::identity::Identity;

/// The parts of a request that a function of yours may read: all but the body.
#[derive(Debug)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    context: &'a RequestContext,
    // Filled on first use.
    identity: OnceCell<Option<Arc<Identity>>>,
    lacked_identity: Cell<bool>,
}

impl<'a> RequestHead<'a> {
    pub(crate) fn new<B>(request: &'a Request<B>, context: &'a RequestContext) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            context,
            identity: OnceCell::new(),
            lacked_identity: Cell::new(false),
        }
    }

    /// Replaces the URI by the one that the client sent.
    #[cfg(feature = "auth")]
    pub(crate) fn with_uri(self, uri: &'a Uri) -> Self {
        Self { uri, ..self }
    }

    /// Returns the method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the URI.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the headers as the client sent them. A limit that counts by a header lets clients
    /// choose their counter.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the extensions that the server and outer layers have set.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Returns the verified caller, or `None` without authentication.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        let identity = self.identity.get_or_init(|| self.context.identity()).as_deref();
        if identity.is_none() {
            self.lacked_identity.set(true);
        }
        identity
    }

    /// Returns whether someone has looked for an identity that the request lacks, since the last call.
    #[cfg(feature = "throttle")]
    pub(crate) fn take_lacked_identity(&self) -> bool {
        self.lacked_identity.take()
    }

    #[cfg(feature = "throttle")]
    pub(crate) const fn context(&self) -> &'a RequestContext {
        self.context
    }
}
