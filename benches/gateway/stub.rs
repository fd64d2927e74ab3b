//! The upstream of the processes that are measured.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime};

use crate::Error;

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Starts an upstream that sends 990 bytes, or `stream` to a request for a stream.
pub(crate) fn start(
    stream: impl Fn() -> Result<Answer, Error> + Clone + Send + Sync + 'static,
) -> Result<SocketAddr, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        // `from_std` needs the runtime.
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            serve(listener, move |request| {
                let stream = stream.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let streams = body.ends_with(b"\"stream\":true}");
                    Ok::<_, Error>(if streams { stream()? } else { plain_answer()? })
                }
            })
            .await
        })
    });
    Ok(address)
}

fn plain_answer() -> Result<Answer, Error> {
    let start = r#"{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104}}"#;
    let text = "y".repeat(990 - start.len() - end.len());
    let body = Full::new(Bytes::from(format!("{start}{text}{end}")));
    Ok(Response::builder().header(header::CONTENT_TYPE, "application/json").body(body.boxed())?)
}

/// Returns the event of a stream with this number.
pub(crate) fn event(number: usize) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word {number}\"}},\"finish_reason\":null}}]}}\n\n"
    ))
}

pub(crate) fn event_stream(
    body: impl Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
) -> Result<Answer, Error> {
    Ok(Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body.boxed())?)
}

pub(crate) async fn serve<F, R, B>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<Response<B>, R>> + Send,
    R: Into<Error> + 'static,
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let server = http1::Builder::new();
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}
