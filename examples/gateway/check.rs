//! `--check`: makes one upstream request and explains the response.

use std::time::Duration;

use axum::http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};
use tower_inference::{
    client::HttpsClient, context::RequestContext, hf::HfTokenLayer, model::Profile,
    payload::Payload, rejection::Rejection, transform::TransformLayer, upstream::UpstreamLayer,
};

use crate::{Error, verdict::Verdict};

/// The time for one token of a loaded model. Most upstreams report a model that is not loaded.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum number of bytes of the response that are read.
const MAX_RESPONSE: usize = 1 << 20;

/// Requests one token of a completion through the layers that a caller's request passes.
pub(crate) async fn check(
    hf_token: HfTokenLayer,
    profile: &Profile,
    model: &str,
) -> Result<Verdict, Error> {
    let scrubber = hf_token.scrubber();
    let client = HttpsClient::builder().build()?;
    // The profile has the name of the limit.
    let limit = TransformLayer::new().profile(profile.clone()).max_output_tokens(1);
    let upstream = ServiceBuilder::new()
        .layer(limit)
        .layer(UpstreamLayer::new().head_timeout(TIMEOUT))
        .layer(hf_token)
        .service(client);
    let question = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "ping" }],
    });
    let context = RequestContext::new();
    let request = Request::post("/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .extension(context.clone())
        .body(Payload::buffered(question.to_string()))?;
    let Ok(response) = upstream.oneshot(request).await;
    let refusal = response.extensions().get().map(Rejection::refusal);
    // A layer may have replaced the response. The context keeps the upstream's status.
    let status = context.outcome().upstream_status.unwrap_or_else(|| response.status());
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();

    Ok(Verdict::new(status, refusal, &body, &scrubber))
}
