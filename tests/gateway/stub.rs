//! An upstream in the hands of the test, and a gateway in front of it.

use std::{convert::Infallible, fs, path::PathBuf};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, channel};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    process::{Gateway, unless_hung},
    token::{self, Signer},
};

pub const UPSTREAM_TOKEN: &str = "hf_only_the_gateway_has_this";

/// Serves until it is dropped.
pub struct Served {
    pub url: String,
    task: AbortHandle,
}

impl Served {
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task: JoinHandle<()> = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Self { url, task: task.abort_handle() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request as the upstream saw it, and the answer that it waits for.
pub struct Seen {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    answer: channel::Sender<Bytes, Infallible>,
}

impl Seen {
    /// Sends a piece of the answer.
    pub async fn answer(&mut self, piece: &str) {
        let sent = self.answer.send_data(Bytes::copy_from_slice(piece.as_bytes()));
        unless_hung(sent).await.expect("the gateway still reads");
    }
}

/// An upstream whose answers are made by the test, piece by piece.
pub struct Stub {
    pub served: Served,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Stub {
    /// One that streams events.
    pub async fn start() -> Self {
        Self::of("text/event-stream").await
    }

    /// One that answers with documents.
    pub async fn json() -> Self {
        Self::of("application/json").await
    }

    async fn of(content_type: &'static str) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let router = Router::new().fallback(answer).with_state((content_type, sender));
        Self { served: Served::start(router).await, seen }
    }

    pub async fn seen(&mut self) -> Seen {
        unless_hung(self.seen.recv()).await.unwrap()
    }

    pub fn saw_nothing(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }
}

type Answering = (&'static str, mpsc::UnboundedSender<Seen>);

async fn answer(State((content_type, seen)): State<Answering>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let (answer, stream) = channel::Channel::new(4);
    let one = Seen { uri: parts.uri, headers: parts.headers, body, answer };
    seen.send(one).unwrap_or_else(|_| panic!("the test is over"));
    ([(header::CONTENT_TYPE, content_type)], Body::new(stream)).into_response()
}

/// A gateway in front of `upstream`, that takes the tokens of `signer`.
pub async fn gateway<const N: usize>(
    folder: &Folder,
    upstream: &str,
    signer: &Signer,
    more: [&str; N],
) -> Gateway {
    let jwks = folder.write("jwks.json", &signer.jwks());
    gateway_with_keys(folder, upstream, &jwks, more).await
}

/// The same, with its keys from `jwks`: a file, or an address.
pub async fn gateway_with_keys<const N: usize>(
    folder: &Folder,
    upstream: &str,
    jwks: &str,
    more: [&str; N],
) -> Gateway {
    gateway_with(folder, upstream, jwks, more).await
}

/// The same, with any flags.
pub async fn gateway_with<'a>(
    folder: &Folder,
    upstream: &str,
    jwks: &str,
    more: impl IntoIterator<Item = &'a str>,
) -> Gateway {
    let more: Vec<_> = more.into_iter().map(str::to_owned).collect();
    let token = folder.write("token", UPSTREAM_TOKEN);
    let real = [
        ["--upstream", upstream],
        ["--hf-token-file", &token],
        ["--issuer", token::ISSUER],
        ["--audience", token::AUDIENCE],
        ["--scope", token::SCOPE],
        ["--jwks", jwks],
    ];
    let real = real.into_iter().flatten().map(str::to_owned);
    Gateway::start(real.chain(more)).await
}

/// A folder of a test's own, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{name}"));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}
