//! Media types, JSON, numbers, bounds and patience.

mod bodies;
mod messages;
mod numbers;
mod patience;

use std::{
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::payload::Payload;

const CHAT: &str = "/v1/chat/completions";

/// What reached the upstream.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Bytes>>>);

impl Seen {
    fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// An upstream that answers every request with 200 and remembers the bodies.
fn upstream(
    seen: &Seen,
) -> impl Service<Request<Payload>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let seen = seen.clone();
    service_fn(move |request: Request<Payload>| {
        let bytes = request.body().bytes().cloned().unwrap_or_default();
        seen.0.lock().unwrap().push(bytes);
        async {
            let answer = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
            let answer = Response::builder().header(CONTENT_TYPE, "application/json").body(answer);
            Ok(answer.unwrap().map(Full::from))
        }
    })
}

fn post(path: &str, media_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header(CONTENT_TYPE, media_type);
    request.body(Full::new(body.into())).unwrap()
}

fn chat(body: &str) -> Request<Full<Bytes>> {
    post(CHAT, "application/json", body.to_owned())
}

/// The status and the body of the answer to a request.
async fn answer<S, R>(service: S, request: Request<Full<Bytes>>) -> (StatusCode, Value)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let response = service.oneshot(request).await.unwrap();
    let status = response.status();
    let Ok(body) = response.into_body().collect().await else { panic!("the body broke off") };
    (status, serde_json::from_slice(&body.to_bytes()).unwrap_or_default())
}
