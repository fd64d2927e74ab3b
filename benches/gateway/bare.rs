//! A proxy that checks nothing. It is the lower bound of a proxy on hyper.

use std::{env, net::SocketAddr, process::Command};

use http::{
    Request, Uri,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;

use crate::{Error, stub};

/// Returns the command that starts the proxy: this program again.
pub(crate) fn command(upstream: SocketAddr) -> Result<Command, Error> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["bare", &upstream.to_string()]);
    Ok(command)
}

/// Returns the address of the upstream if this program is the proxy.
pub(crate) fn upstream() -> Option<String> {
    env::args().skip_while(|argument| argument != "bare").nth(1)
}

/// Serves the proxy. Does not return.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<(), Error> {
    let authority: Authority = upstream.to_string().parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    stub::serve(listener, move |mut request: Request<Incoming>| {
        let client = client.clone();
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.clone());
        let uri = Uri::from_parts(parts);
        async move {
            *request.uri_mut() = uri?;
            Ok::<_, Error>(client.request(request).await?)
        }
    })
    .await
}
