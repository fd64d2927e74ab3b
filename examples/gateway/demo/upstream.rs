//! A deterministic upstream with the APIs of OpenAI and TEI. It numbers its responses.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_inference::secret::Secret;

use super::{chat, vectors};

/// The maximum size of a JSON body. Other bodies are counted as they stream.
const MAX_BODY: usize = 64 << 20;

/// The header with the number of the request.
pub(super) const CALL: HeaderName = HeaderName::from_static("x-demo-call");

pub(super) fn router(token: Secret) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/embeddings", post(vectors::openai))
        .route("/v1/models", get(models))
        .route("/embed", post(vectors::tei))
        .route("/models/{model}", post(task))
        .route("/models/{owner}/{model}", post(task))
        .route("/hf-inference/models/{owner}/{model}", post(task))
        .route("/hf-inference/models/{owner}/{model}/pipeline/{task}", post(task))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::default(), number))
        .layer(from_fn_with_state(token, demand_token))
}

/// Rejects requests without the token that only the gateway has.
async fn demand_token(State(token): State<Secret>, request: Request, next: Next) -> Response {
    let expected = format!("Bearer {}", token.expose());
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
        next.run(request).await
    } else {
        error(StatusCode::UNAUTHORIZED, "the demo upstream does not know this token")
    }
}

/// Numbers the responses. A cached response keeps its number.
async fn number(State(calls): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
    let mut response = next.run(request).await;
    response.headers_mut().insert(CALL, number.into());
    response
}

async fn models() -> Json<Value> {
    let demo = json!({ "id": "demo", "object": "model", "created": 0, "owned_by": "demo" });
    Json(json!({ "object": "list", "data": [demo] }))
}

/// Serves Hugging Face's tasks: feature extraction for JSON and the length for any other body.
async fn task(headers: HeaderMap, body: Body) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json")) {
        match axum::body::to_bytes(body, MAX_BODY).await {
            Ok(body) => vectors::features(&body),
            Err(_) => error(StatusCode::BAD_REQUEST, "the body did not arrive"),
        }
    } else {
        match length(body).await {
            Ok(length) => {
                let label = format!("demo: {length} bytes");
                Json(json!([{ "label": label, "score": 1.0 }])).into_response()
            }
            Err(_) => error(StatusCode::BAD_REQUEST, "the body did not arrive"),
        }
    }
}

async fn length(mut body: Body) -> Result<usize, axum::Error> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "the demo upstream has no such route")
}

/// Returns an error in OpenAI's format.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    (status, Json(json!({ "error": { "message": message, "type": kind } }))).into_response()
}
