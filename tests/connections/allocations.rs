//! What a request through the client allocates, beside hyper's client alone.

use std::{error::Error, net::SocketAddr, sync::mpsc, thread};

use allocation_counter::measure;
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::runtime::{self, Runtime};
use tower::{Service, ServiceExt};
use tower_inference::{client::HttpsClient, payload::Payload};

use crate::{
    caller::{CHAT, HELLO, settle},
    http1, http2,
};

/// Starts a server on a thread of its own, so that what it allocates is not counted.
fn serve<S: 'static>(
    start: impl AsyncFnOnce() -> S + Send + 'static,
    address: fn(&S) -> SocketAddr,
) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let server = start().await;
            tell.send(address(&server)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Allocations of a request on a connection that is reused, its tasks included: the least of many.
fn allocations<S, B>(client: S, uri: &str) -> u64
where
    S: Service<Request<Payload>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>
        + Clone,
    B: Body<Data = Bytes, Error: Error>,
{
    let runtime = runtime();
    let one = || {
        let field = HeaderValue::from_static;
        let request = Request::post(uri)
            .header(CONTENT_TYPE, field("application/json"))
            .header(AUTHORIZATION, field("Bearer hf_example"))
            .header(HOST, field("localhost"))
            .body(Payload::buffered(HELLO))
            .unwrap();
        let client = client.clone();
        let counted = measure(|| {
            runtime.block_on(async {
                let response = client.oneshot(request).await.map_err(Into::into).unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
            });
        });
        runtime.block_on(settle());
        counted.count_total
    };
    std::iter::repeat_with(one).take(64).min().unwrap()
}

fn hyper(prior_knowledge: bool) -> Client<HttpConnector, Payload> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http2_only(prior_knowledge)
        .build(HttpConnector::new())
}

#[test]
fn a_request_costs_one_allocation_more_than_with_hyper_alone() {
    let address = serve(async || http1::Server::start(&[]).await, |server| server.address);
    let uri = format!("http://{address}{CHAT}");
    let ours = allocations(HttpsClient::builder().build().unwrap(), &uri);
    assert_eq!(ours, allocations(hyper(false), &uri) + 1);

    let address = serve(async || http2::Server::start(&[]).await, |server| server.address);
    let uri = format!("http://{address}{CHAT}");
    let ours = allocations(HttpsClient::builder().http2_prior_knowledge().build().unwrap(), &uri);
    assert_eq!(ours, allocations(hyper(true), &uri) + 1);
}
