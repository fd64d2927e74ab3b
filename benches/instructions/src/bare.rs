//! The floor of the comparisons: a hyper proxy that checks nothing.

use std::{io, net::SocketAddr};

use http::{Request, Uri, uri::Authority};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

use crate::Error;

/// A pass-through proxy that checks nothing: the lower bound of a proxy on hyper's pooled client.
pub(crate) async fn bare_proxy(listener: TcpListener, upstream: SocketAddr) -> Result<(), Error> {
    let authority: Authority = upstream.to_string().parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, authority) = (client.clone(), authority.clone());
        tokio::spawn(async move {
            let proxy = service_fn(move |mut request: Request<Incoming>| {
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(http::uri::Scheme::HTTP);
                parts.authority = Some(authority.clone());
                let uri = Uri::from_parts(parts);
                let client = client.clone();
                async move {
                    *request.uri_mut() = uri.map_err(io::Error::other)?;
                    client.request(request).await.map_err(io::Error::other)
                }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), proxy).await
        });
    }
}
