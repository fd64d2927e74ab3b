use std::sync::Arc;

use http::{HeaderName, Request};

use super::function::Function;
use crate::payload::Payload;

/// The parts of a request that make its [cache](crate::cache) key.
///
/// ```
/// use http::HeaderName;
/// use tower_inference::cache::{CacheKey, CacheLayer, Scope};
///
/// let key = CacheKey::new()
///     .headers([HeaderName::from_static("x-tier")])
///     .query(["version"])
///     .ignore_members(["user", "metadata"]);
/// let layer = CacheLayer::new("router", Scope::Identity).key(key);
/// ```
#[derive(Clone, Debug)]
pub struct CacheKey {
    pub(crate) headers: Vec<HeaderName>,
    /// `None` for the whole query.
    pub(crate) query: Option<Vec<Box<str>>>,
    pub(crate) ignored_members: Vec<Box<str>>,
    pub(crate) canonical: Option<Function<Canonical>>,
    pub(crate) epoch: u64,
}

pub(crate) type Canonical = dyn Fn(&Request<Payload>) -> Option<Payload> + Send + Sync;

impl CacheKey {
    /// Creates a key of the whole query, the default headers and the whole body.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: default_headers(),
            query: None,
            ignored_members: Vec::new(),
            canonical: None,
            epoch: 0,
        }
    }

    /// Adds request headers to the key.
    ///
    /// By default the key has `accept`, `anthropic-beta`, `anthropic-version`, `openai-beta` and
    /// `x-use-cache`. A response that varies by any other header is not stored.
    #[must_use]
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers.extend(names);
        self
    }

    /// Sets the query parameters of the key. They count in the order in which they appear.
    ///
    /// Defaults to the whole query as it is written.
    #[must_use]
    pub fn query<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.query = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves members of the body's root out of the key, for example `user` or `metadata`. Defaults
    /// to none.
    #[must_use]
    pub fn ignore_members<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.ignored_members.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets a function that maps a request to the body that makes its key. Defaults to the body of
    /// the request, as does `None`.
    ///
    /// Use it for a semantic cache. Requests with the same mapped body get the same response. The
    /// upstream still receives the original body. The function runs inside of `call`, so it must
    /// neither block nor panic.
    #[must_use]
    pub fn canonical(
        mut self,
        map: impl Fn(&Request<Payload>) -> Option<Payload> + Send + Sync + 'static,
    ) -> Self {
        self.canonical = Some(Function::new(Arc::new(map)));
        self
    }

    /// Sets the epoch of the key. Defaults to 0.
    ///
    /// Change it when a rule of an inner layer changes. Responses from before are then not found.
    #[must_use]
    pub const fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }
}

impl Default for CacheKey {
    fn default() -> Self {
        Self::new()
    }
}

/// Headers that change the response of inference servers.
fn default_headers() -> Vec<HeaderName> {
    ["accept", "anthropic-beta", "anthropic-version", "openai-beta", "x-use-cache"]
        .map(HeaderName::from_static)
        .into()
}
