//! An upstream over both versions that holds each request until the test responds.

use hyper::service::service_fn;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A request at the upstream.
pub struct Arrived {
    /// The member `model` of its body.
    pub model: String,
    respond: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Arrived {
    pub fn respond(self, response: Response<Full<Bytes>>) {
        self.respond.send(response).unwrap();
    }

    pub fn ok(self) {
        let body = format!(r#"{{"model":"{}","choices":[]}}"#, self.model);
        self.respond(json(200, body));
    }

    /// Waits until the gateway has closed the stream or the connection.
    pub async fn gone(mut self) {
        self.respond.closed().await;
    }
}

pub fn json(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(body.into())).unwrap()
}

pub struct HeldUpstream {
    pub address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrived>,
}

impl HeldUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tell = tell.clone();
                let service = service_fn(move |request| hold(request, tell.clone()));
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder.serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Self { address, arrived }
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> Arrived {
        timeout(HANGS, self.arrived.recv()).await.expect("no request arrives").unwrap()
    }

    /// Checks that no request has arrived since.
    pub fn is_quiet(&mut self) -> bool {
        self.arrived.try_recv().is_err()
    }
}

async fn hold(
    request: Request<Incoming>,
    tell: mpsc::UnboundedSender<Arrived>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let body = request.into_body().collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let (respond, response) = oneshot::channel();
    tell.send(Arrived { model: body["model"].as_str().unwrap_or_default().to_owned(), respond })?;
    Ok(response.await?)
}
