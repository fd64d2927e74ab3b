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
    stack::Stack,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    ready::Ready,
    routes::{self, Inference},
};

/// The whole gateway. Around the routes stands what sees every request, those that are refused
/// included; behind them what costs, or knows a token.
pub(crate) fn gateway(
    access_log: AccessLogLayer,
    auth: AuthLayer,
    max_body: u64,
    hf_token: HfTokenLayer,
    ready: Ready,
) -> Result<Router, Error> {
    let around = Stack::new().request_id(RequestIdLayer::new()).access_log(access_log);
    let behind = Stack::new().auth(auth).upstream(UpstreamLayer::new()).hf_token(hf_token);
    let buffered = behind.clone().payload(PayloadLayer::new().limit(max_body));
    let streamed = behind.payload(PayloadLayer::streamed().limit(max_body));

    let client: HttpsClient<Payload> = HttpsClient::builder().build()?;
    let inference =
        Inference { buffered: buffered.layer(client.clone()), streamed: streamed.layer(client) };
    Ok(routes::probes(ready).fallback_service(around.layer(inference)))
}
