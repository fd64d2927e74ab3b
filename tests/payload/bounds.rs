//! A client learns which bound its body exceeds. The operator learns from the log which setter moves the
//! bound.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_inference::payload::{Payload, PayloadLayer};

use crate::{
    log,
    support::{ScriptedBody, Step},
};

/// Returns the body of the rejection and the log.
async fn rejection(layer: PayloadLayer, body: ScriptedBody) -> (String, String) {
    log::listen(tracing::Level::DEBUG);
    let mut request = Request::post("/v1/chat/completions").body(body).unwrap();
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let upstream = service_fn(async |_: Request<Payload>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let response = layer.layer(upstream).oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(body.into()).unwrap(), log::taken())
}

fn full(body: &'static str) -> ScriptedBody {
    ScriptedBody::new([Step::Data(body.as_bytes())])
}

#[tokio::test(start_paused = true)]
async fn only_the_log_names_the_setter_of_a_bound() {
    let layer = PayloadLayer::new;
    let announced = |length| full("{}").announce(length);
    for (layer, body, detail, setter) in [
        (layer(), announced(11 << 20), "exceeds the limit of 10 MiB", "max_body_bytes"),
        (layer().max_body_bytes(2 << 30), announced(3 << 30), "2 GiB", "max_body_bytes"),
        (layer().max_body_bytes(64 << 10), announced(1 << 20), "64 KiB", "max_body_bytes"),
        (layer().max_body_bytes(1_000), announced(1 << 20), "1000 bytes", "max_body_bytes"),
        (layer().max_body_bytes(0), announced(1), "limit of 0 bytes", "max_body_bytes"),
        (layer().max_values(2), full("[1,2,3]"), "more than 2 values", "max_values"),
        (layer().max_depth(1), full("[[1]]"), "more than 1 nested", "max_depth"),
        (
            layer().body_timeout(Duration::from_secs(30)),
            ScriptedBody::new([Step::Stall]),
            "did not arrive within 30s",
            "body_timeout",
        ),
    ] {
        let (body, log) = rejection(layer, body).await;
        assert!(body.contains(detail), "{detail}: {body}");
        assert!(!body.contains("Layer") && !body.contains(setter), "{body}");
        assert!(log.contains("DEBUG") && log.contains(detail), "{log}");
        assert!(log.contains(&format!("setter=\"PayloadLayer::{setter}\"")), "{log}");
    }
}
