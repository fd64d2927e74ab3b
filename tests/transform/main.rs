//! The edits of a transform but for those of JSON: fields, query, path, and the hidden usage chunk.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;

mod headers;
mod path;
mod query;
mod servers;
mod usage;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    payload::{Payload, PayloadLayer},
    rejection::{Refusal, Rejection},
    transform::{EditableQuery, TransformLayer},
};

fn query_name(name: &str) -> EditableQuery {
    name.parse().unwrap()
}

/// A caller with claims of every kind.
fn caller() -> Identity {
    Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
        .with_tenant("acme")
        .with_claim("team", "search")
        .with_claim("level", 3)
        .with_claim("staff", true)
        .with_claim("nothing", serde_json::Value::Null)
        .with_claim("empty", "")
        .with_claim("groups", serde_json::json!(["a", "b"]))
}

fn context_of(identity: Option<Identity>) -> RequestContext {
    let context = RequestContext::new();
    if let Some(identity) = identity {
        context.set_identity(Arc::new(identity));
    }
    context.set_stage("prod");
    context.set_route("chat");
    context
}

/// What reaches the upstream, or the refusal that keeps the request from it.
async fn sent_as(
    context: RequestContext,
    edits: TransformLayer,
    request: http::request::Builder,
) -> Result<Parts, Rejection> {
    let (seen, mut reached) = mpsc::unbounded_channel();
    let upstream = service_fn(move |request: Request<Payload>| {
        seen.send(request.into_parts().0).unwrap();
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let gateway = ServiceBuilder::new().layer(PayloadLayer::bytes()).layer(edits).service(upstream);
    let request = request.extension(context).body(Full::<Bytes>::default()).unwrap();
    let Ok(answer) = gateway.oneshot(request).await;
    match reached.try_recv() {
        Ok(parts) => {
            assert!(answer.extensions().get::<Rejection>().is_none());
            Ok(parts)
        }
        Err(_) => Err(answer.extensions().get::<Rejection>().expect("a refusal").clone()),
    }
}

async fn sent(edits: TransformLayer, request: http::request::Builder) -> Result<Parts, Rejection> {
    sent_as(context_of(Some(caller())), edits, request).await
}

/// The slug and the detail of a refusal.
fn said(refused: &Result<Parts, Rejection>) -> (Refusal, &str) {
    let rejection = refused.as_ref().expect_err("it was not refused");
    (rejection.refusal(), rejection.detail())
}

/// A decoder of the tests' own: what is no triplet stands for itself.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.filter(|_| text[at] == b'%') {
            Some(digits) => {
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                at += 3;
            }
            None => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}
