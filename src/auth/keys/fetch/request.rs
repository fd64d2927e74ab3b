//! The requests of one fetch.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, Uri, header::ETAG};

use super::{
    discovery::{Discovered, jwks_uri},
    fetcher::Fetched,
    freshness::lifetime,
};
use crate::{
    address_reach::Reach,
    auth::keys::{
        error::{KeysError, KeysFault},
        key_set::Keys,
        store::Validator,
    },
    fetch::{BoxFuture, ExchangeLimits, FetchFault, Reply, Transport},
};

/// Sends a GET request through the user's client, with a value for `if-none-match`.
pub(crate) type HttpGet = Arc<
    dyn Fn(Uri, Option<HeaderValue>, ExchangeLimits) -> BoxFuture<Result<Reply, FetchFault>>
        + Send
        + Sync,
>;

/// A longer tag is not sent back.
const MAX_TAG_BYTES: usize = 256;

/// Fetches the keys of one address.
#[derive(Clone)]
pub(crate) struct KeyRequest {
    pub(crate) get: HttpGet,
    /// The address of the keys or of the discovery document.
    pub(crate) address: Uri,
    /// The issuer that the discovery document must name. `None` without discovery.
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) weakest: Transport,
    pub(crate) limits: ExchangeLimits,
    pub(crate) max_age: Duration,
}

impl KeyRequest {
    /// Fetches the keys unless `known` still names them.
    pub(crate) async fn send(self, known: Option<Validator>) -> Result<Fetched, KeysError> {
        let found = match &self.issuer {
            Some(issuer) => {
                self.discover(issuer).await.map_err(|fault| fault.at_address(&self.address))?
            }
            None => Discovered { uri: self.address.clone(), reach: Reach::NotLinkLocal },
        };
        let uri = found.uri.clone();
        self.fetch(found, known).await.map_err(|fault| fault.at_address(&uri))
    }

    async fn discover(&self, issuer: &str) -> Result<Discovered, KeysFault> {
        let reply = (self.get)(self.address.clone(), None, self.limits).await?;
        let document = accepted(&reply).map(|()| reply.body)?;
        jwks_uri(document, issuer, &self.address, self.weakest)
    }

    async fn fetch(
        &self,
        Discovered { uri, reach }: Discovered,
        known: Option<Validator>,
    ) -> Result<Fetched, KeysFault> {
        let limits = ExchangeLimits { reach, ..self.limits };
        let known = known.filter(|known| known.address == uri);
        let tag = known.as_ref().map(|known| known.tag.clone());
        let reply = (self.get)(uri.clone(), tag, limits).await?;
        let lifetime = lifetime(&reply.headers, self.max_age);
        if let Some(known) = known.filter(|_| reply.status == StatusCode::NOT_MODIFIED) {
            return Ok(Fetched { keys: None, lifetime, validator: Some(known) });
        }
        accepted(&reply)?;
        let tag = reply.headers.get(ETAG).filter(|tag| tag.len() <= MAX_TAG_BYTES);
        let validator = tag.map(|tag| Validator { address: uri, tag: tag.clone() });
        Ok(Fetched { keys: Some(Keys::parse(reply.body)?), lifetime, validator })
    }
}

fn accepted(reply: &Reply) -> Result<(), KeysFault> {
    if reply.status == StatusCode::OK {
        Ok(())
    } else {
        Err(KeysFault::Status(reply.status.as_u16()))
    }
}
