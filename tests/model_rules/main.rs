//! `ModelRulesLayer`: who may use which model of which provider, and what the list of models shows.

mod list;
mod rules;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    identity::{Identity, Proof},
    model_rules::ModelRulesLayer,
    payload::Payload,
    rejection::Rejection,
};

use support::Probe;

const ISSUER: &str = "https://issuer.example";
const CHAT: &str = "/v1/chat/completions";

/// Somebody of `acme` with the scope `infer`.
fn caller() -> Identity {
    Identity::new(Proof::Jwt, ISSUER, "user-7").with_tenant("acme").with_scopes(["infer"])
}

fn request(method: Method, path: &str, body: &str, caller: Option<Identity>) -> Request<Payload> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .body(Payload::buffered(body.to_owned()))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    if let Some(caller) = caller {
        context.set_identity(Arc::new(caller));
    }
    request
}

fn chat(model: &str, caller: Option<Identity>) -> Request<Payload> {
    request(Method::POST, CHAT, &format!(r#"{{"model":"{model}"}}"#), caller)
}

/// The answer to a request, and whether the inner service was called.
async fn asked(
    layer: &ModelRulesLayer,
    request: Request<Payload>,
) -> (Response<ResponseBody<Full<Bytes>>>, bool) {
    let mut called = false;
    let inner = Probe::new(|_: Request<Payload>| {
        called = true;
        Response::new(Full::new(Bytes::from_static(b"{}")))
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    (response, called)
}

/// Whether a request passes; one that does not is refused with 403 without a call.
async fn passes(layer: &ModelRulesLayer, request: Request<Payload>) -> bool {
    let (response, called) = asked(layer, request).await;
    let expected = if called { StatusCode::OK } else { StatusCode::FORBIDDEN };
    assert_eq!(response.status(), expected);
    assert_eq!(response.extensions().get::<Rejection>().is_none(), called);
    called
}

async fn text<B: Body<Data = Bytes>>(response: Response<B>) -> String {
    let Ok(body) = response.into_body().collect().await else { panic!("the body broke off") };
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

async fn json<B: Body<Data = Bytes>>(response: Response<B>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}
