//! Over real connections.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::ServiceBuilder;
use tower_inference::payload::PayloadLayer;

use super::*;

/// A body that starts, then stalls, and reports its drop.
struct Endless {
    body: ScriptedBody,
    dropped: mpsc::UnboundedSender<()>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _nobody_looks = self.dropped.send(());
    }
}

#[tokio::test]
async fn a_client_that_disconnects_is_charged_for_the_delivered_text() {
    let budget = Budget::plenty();
    let (tell, mut dropped) = mpsc::unbounded_channel();
    let upstream = service_fn(move |_: Request<Payload>| {
        let stream = events(3, None);
        let (begun, _) =
            stream.split_once("data: {\"choices\":[{\"index\":0,\"delta\":{}").unwrap();
        let steps = [Step::Bytes(begun.to_owned().into()), Step::Stall];
        let body = Endless { body: ScriptedBody::new(steps), dropped: tell.clone() };
        let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
        ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let service = ServiceBuilder::new()
        .layer(PayloadLayer::new())
        .layer(budget.layer.clone())
        .service(upstream);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                builder.serve_connection(io, service).await.map_err(drop)
            });
        }
    });

    let mut caller = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        STREAMED.len()
    );
    caller.write_all(format!("{head}{STREAMED}").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while read.windows(6).filter(|window| window == b"\" tea\"").count() < 3 {
        caller.read_buf(&mut read).await.unwrap();
    }
    assert_eq!(budget.used().await, CHAT_PROMPT + 10, "reserved");
    drop(caller);
    dropped.recv().await.unwrap();
    // Three words.
    assert_eq!(budget.used().await, CHAT_PROMPT + estimate_of(3));
}
