//! `SchemaLayer`: checks of requests and responses.
#![allow(unreachable_pub, reason = "modules of one test crate")]

#[path = "../support/mod.rs"]
mod support;

mod choice;
mod parameters;
mod requests;
mod responses;
mod wire;

use std::{convert::Infallible, fmt::Debug};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::Probe;
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    payload::{Payload, PayloadLayer},
    schema::{Schema, SchemaLayer},
};

pub fn schema(schema: &Value) -> Schema {
    Schema::new(schema).unwrap()
}

/// `inputs` is a string and must be there, `n` is at most four.
pub fn inputs() -> Schema {
    schema(&json!({
        "type": "object",
        "required": ["inputs"],
        "properties": { "inputs": { "type": "string" }, "n": { "maximum": 4 } },
    }))
}

/// An object whose member `kind` is the one word.
pub fn kind(word: &str) -> Schema {
    schema(&json!({ "type": "object", "properties": { "kind": { "const": word } } }))
}

pub fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/any").header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}

/// What a caller gets who sends `request` through the layers to a service that says `passed`.
pub async fn respond<L, R>(layers: L, request: Request<Full<Bytes>>) -> Received
where
    L: Layer<Echo>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: Debug>,
{
    let response = layers.layer(Probe::new(passed)).oneshot(request).await.unwrap();
    Received::of(response).await
}

pub async fn respond_json(layer: SchemaLayer, body: &'static str) -> Received {
    respond((PayloadLayer::new(), layer), post(body)).await
}

type Echo = Probe<fn(Request<Payload>) -> Response<Full<Bytes>>>;

/// Responds with the very body that came.
fn passed(request: Request<Payload>) -> Response<Full<Bytes>> {
    let body = request.body().bytes().cloned().unwrap_or_else(|| Bytes::from_static(b"streamed"));
    Response::builder().header("passed", "yes").body(Full::new(body)).unwrap()
}

pub struct Received {
    pub head: http::response::Parts,
    pub body: Bytes,
}

impl Received {
    pub async fn of<R: Body<Data = Bytes, Error: Debug>>(response: Response<R>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body: body.collect().await.unwrap().to_bytes() }
    }

    pub fn passed(&self) -> bool {
        self.head.headers.contains_key("passed")
    }

    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Where it was rejected, and by which keywords.
    pub fn errors(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let errors = self.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| (text(&error["pointer"]), text(&error["keyword"]))).collect()
    }
}
