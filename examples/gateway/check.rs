//! `--check`: one call upstream, and what came back, in words.

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

/// Enough for one token of a model that is there; one that is not makes most upstreams say so.
const PATIENCE: Duration = Duration::from_secs(60);
/// More of an answer than this is not looked at.
const MAX_ANSWER: usize = 1 << 20;

/// Asks for one token of a completion, the way a caller's request would go.
pub(crate) async fn check(
    hf_token: HfTokenLayer,
    profile: &Profile,
    model: &str,
) -> Result<Verdict, Error> {
    let scrubber = hf_token.scrubber();
    let client = HttpsClient::builder().build()?;
    // Under the name that the upstream knows.
    let limit = TransformLayer::new().profile(profile.clone()).max_output_tokens(1);
    let upstream = ServiceBuilder::new()
        .layer(limit)
        .layer(UpstreamLayer::new().head_timeout(PATIENCE))
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
    // The gateway's layers may have answered in the upstream's place, but they keep its word.
    let status = context.outcome().upstream_status.unwrap_or_else(|| response.status());
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();

    Ok(Verdict::new(status, refusal, &body, &scrubber))
}
