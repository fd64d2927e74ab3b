//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer,
    auth::AuthLayer,
    client::HttpsClient,
    hf::HfTokenLayer,
    payload::{Payload, PayloadLayer},
    request_id::RequestIdLayer,
    schema::SchemaLayer,
    stack::Stack,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    bodies::Bodies,
    ready::Ready,
    routes::{self, Inference},
};

/// The whole gateway. Around the routes stands what sees every request, those that are refused
/// included; behind them what costs, or knows a token.
pub(crate) fn gateway(
    access_log: AccessLogLayer,
    auth: AuthLayer,
    bodies: Bodies,
    hf_token: HfTokenLayer,
    ready: Ready,
) -> Result<Router, Error> {
    let around = Stack::new().request_id(RequestIdLayer::new()).access_log(access_log);
    let behind = Stack::new().auth(auth).upstream(UpstreamLayer::new()).hf_token(hf_token);
    let Bodies { max_bytes, schema, generation } = bodies;
    let json = behind.clone().payload(PayloadLayer::new().limit(max_bytes));
    let bytes = behind.payload(PayloadLayer::streamed().limit(max_bytes));

    let client: HttpsClient<Payload> = HttpsClient::builder().build()?;
    let inference = Inference {
        generation: json.clone().schema(schema.clone()).transform(generation).layer(client.clone()),
        buffered: json.schema(schema).transform(TransformLayer::new()).layer(client.clone()),
        // Of the same type as the others, and without rules.
        streamed: bytes
            .schema(SchemaLayer::any_body())
            .transform(TransformLayer::new())
            .layer(client),
    };
    Ok(routes::probes(ready).fallback_service(around.layer(inference)))
}
