//! A scripted identity provider that counts its requests.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{Empty, Full};
use tokio::sync::Notify;
use tower::{Service, service_fn, util::BoxCloneSyncService};
use tower_inference::auth::RemoteKeys;

use super::{issuer::ISSUER, support::ScriptedBody};

pub const JWKS_URI: &str = "https://keys.example/jwks.json";

type Client = BoxCloneSyncService<Request<Empty<Bytes>>, Response<ScriptedBody>, io::Error>;

#[derive(Clone)]
pub struct FakeProvider(Arc<State>);

struct State {
    keys: Mutex<String>,
    document: Mutex<String>,
    status: Mutex<StatusCode>,
    /// The fields of the response with the keys.
    fields: Mutex<HeaderMap>,
    seen: Mutex<Vec<Uri>>,
    /// Requests to `JWKS_URI`. `dropped` counts the requests that were dropped before the response.
    calls: AtomicUsize,
    dropped: AtomicUsize,
    fails: AtomicBool,
    /// Waits for `release` before the response.
    paused: AtomicBool,
    release: Notify,
    delay: Mutex<Duration>,
}

/// Counts the requests that are dropped before the response.
struct CallGuard<'a>(&'a State, bool);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, SeqCst);
        }
    }
}

impl FakeProvider {
    pub fn new() -> Self {
        let document = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{JWKS_URI}"}}"#);
        Self(Arc::new(State {
            keys: Mutex::new(super::issuer::jwks()),
            document: Mutex::new(document),
            status: Mutex::new(StatusCode::OK),
            fields: Mutex::default(),
            seen: Mutex::default(),
            calls: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            release: Notify::new(),
            delay: Mutex::default(),
        }))
    }

    pub fn client(&self) -> Client {
        let state = Arc::clone(&self.0);
        BoxCloneSyncService::new(service_fn(move |request: Request<Empty<Bytes>>| {
            let state = Arc::clone(&state);
            async move { state.respond(request).await }
        }))
    }

    /// Returns a source of its keys without discovery.
    pub fn source(&self) -> RemoteKeys {
        RemoteKeys::jwks(JWKS_URI, self.client())
    }

    pub fn keys(&self, jwks: &str) {
        *self.0.keys.lock().unwrap() = jwks.to_owned();
    }

    pub fn document(&self, document: &str) {
        *self.0.document.lock().unwrap() = document.to_owned();
    }

    pub fn status(&self, status: u16) {
        *self.0.status.lock().unwrap() = StatusCode::from_u16(status).unwrap();
    }

    /// Sets a field of the response with the keys. With an `etag` a request that names it gets 304.
    pub fn field(&self, name: &'static str, value: &'static str) {
        let name = HeaderName::from_static(name);
        self.0.fields.lock().unwrap().insert(name, HeaderValue::from_static(value));
    }

    pub fn fail(&self, fails: bool) {
        self.0.fails.store(fails, SeqCst);
    }

    /// Delays responses until [`FakeProvider::release`].
    pub fn pause(&self) {
        self.0.paused.store(true, SeqCst);
    }

    pub fn release(&self) {
        self.0.paused.store(false, SeqCst);
        self.0.release.notify_waiters();
    }

    pub fn delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// Returns the number of requests for the keys.
    pub fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.0.dropped.load(SeqCst)
    }

    pub fn seen(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().iter().map(Uri::to_string).collect()
    }
}

impl State {
    async fn respond(&self, request: Request<Empty<Bytes>>) -> io::Result<Response<ScriptedBody>> {
        assert_eq!(request.method(), "GET");
        assert_eq!(request.headers()["accept"], "application/json");
        self.seen.lock().unwrap().push(request.uri().clone());
        let document = request.uri().path().ends_with("/.well-known/openid-configuration");
        if !document {
            self.calls.fetch_add(1, SeqCst);
        }
        let mut call = CallGuard(self, false);
        let delay = *self.delay.lock().unwrap();
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        while self.paused.load(SeqCst) {
            self.release.notified().await;
        }
        call.1 = true;
        if self.fails.load(SeqCst) {
            return Err(io::Error::other("refused"));
        }
        let fields = self.fields.lock().unwrap().clone();
        let known = request.headers().get("if-none-match");
        assert!(!document || known.is_none(), "only the keys have a tag");
        if known.is_some_and(|known| Some(known) == fields.get("etag")) {
            let mut response = Response::new(ScriptedBody::chunked(b"", 1));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = fields;
            return Ok(response);
        }
        let text = if document { &self.document } else { &self.keys };
        let text = text.lock().unwrap().clone();
        let mut response = Response::new(ScriptedBody::chunked(text.as_bytes(), 1_000));
        *response.status_mut() = *self.status.lock().unwrap();
        if !document {
            *response.headers_mut() = fields;
        }
        Ok(response)
    }
}

/// A client with another body type and error type.
pub fn client_with_other_types() -> impl Service<
    Request<Empty<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    service_fn(|_request| async { Ok(Response::new(Full::from(super::issuer::jwks()))) })
}
