//! Opening connections.

use std::{
    error::Error as StdError,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{resolver::Resolver, watched::Watched};

type BoxError = Box<dyn StdError + Send + Sync>;
type Stream = TokioIo<Watched<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>>;

/// Connects within a timeout. The client has checked whether the address needs TLS.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) https: Arc<HttpsConnector<HttpConnector<Resolver>>>,
    pub(super) timeout: Duration,
    pub(super) prior_knowledge: bool,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (timeout, prior_knowledge) = (self.timeout, self.prior_knowledge);
        let mut https = HttpsConnector::clone(&self.https);
        Box::pin(async move {
            let connecting = async {
                poll_fn(|cx| https.poll_ready(cx)).await?;
                https.call(uri).await
            };
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let stream = tokio::time::timeout(timeout, connecting).await.map_err(late)??;
            Ok(TokioIo::new(Watched::new(stream, prior_knowledge)))
        })
    }
}
