//! Explains an upstream's response to a small chat completion.

use axum::http::StatusCode;
use serde_json::Value;
use tower_inference::{rejection::Refusal, secret::Scrubber};

/// The maximum length in characters of an upstream's message in the output.
const LONGEST_MESSAGE: usize = 200;

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) fine: bool,
    pub(crate) words: String,
}

impl Verdict {
    /// Explains a response. `refusal` is set when a layer of the gateway made it.
    pub(crate) fn new(
        status: StatusCode,
        refusal: Option<Refusal>,
        body: &[u8],
        scrubber: &Scrubber,
    ) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = message(&body, scrubber);
        let (finding, advice) = match refusal {
            // A layer hides the upstream's 401 from callers. The context still has it.
            Some(_) if of_credentials(status) => TOKEN_WRONG,
            Some(Refusal::UpstreamUnavailable) => {
                ("The upstream cannot be reached", "check the address, the network and TLS")
            }
            Some(Refusal::UpstreamTimeout) => {
                ("The upstream did not respond in time", "it may still be starting")
            }
            Some(Refusal::ModelLoading) => COLD,
            Some(refusal) => ("The gateway rejected the response", refusal.title()),
            None => of_status(status, &body, message.as_deref()),
        };
        let mut words = format!("{finding}: {advice}.");
        let fine = refusal.is_none() && status.is_success() && is_completion(&body);
        // A message about a rejected token may contain a part of it.
        let quoted = refusal.is_none() && !fine && !of_credentials(status);
        if let Some(message) = message.filter(|_| quoted) {
            words.push_str(" Its message: ");
            words.push_str(&message);
        }
        Self { fine, words }
    }
}

fn of_credentials(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

const TOKEN_WRONG: (&str, &str) =
    ("The token is wrong", "the upstream rejected it; check --hf-token-env or --hf-token-file");
const COLD: (&str, &str) = ("The model is cold", "it is being loaded; try again soon");

fn of_status(
    status: StatusCode,
    body: &Value,
    message: Option<&str>,
) -> (&'static str, &'static str) {
    let about_model = message.is_some_and(|message| message.to_lowercase().contains("model"));
    match status.as_u16() {
        200..=299 if is_completion(body) => {
            ("Fine", "the upstream accepted the token and returned a chat completion")
        }
        200..=299 => (
            "The response is no chat completion",
            "the upstream failed or --upstream is another server",
        ),
        300..=399 => ("The address redirects", "set --upstream to the final address"),
        400 | 404 | 422 if about_model => {
            ("The model is unknown", "the token was accepted; name a model with --check-model")
        }
        401 | 407 => TOKEN_WRONG,
        402 => ("No credits", "the account of the token has to pay first"),
        403 => (
            "The token lacks a permission",
            "the router needs one that may make calls to Inference Providers",
        ),
        404 => ("The path is unknown", "the upstream has no /v1/chat/completions"),
        429 => ("Too many requests", "the token was accepted but its rate is used up"),
        503 if body["estimated_time"].is_number() => COLD,
        503 => ("The model is cold or the upstream overloaded", "try again soon"),
        500.. => ("The upstream failed", "the gateway's settings did not cause this"),
        _ => ("The upstream rejected the request", "the token and the network work"),
    }
}

/// Returns whether the body is a successful chat completion. Servers also send failures with 200.
fn is_completion(body: &Value) -> bool {
    let choice = &body["choices"][0];
    let is_failure = |reason: &str| matches!(reason, "abort" | "error");
    choice["message"].is_object() && !choice["finish_reason"].as_str().is_some_and(is_failure)
}

/// Returns the upstream's message without the token.
fn message(body: &Value, scrubber: &Scrubber) -> Option<String> {
    let places = [&body["error"]["message"], &body["error"], &body["message"], &body["detail"]];
    let message = places.into_iter().find_map(Value::as_str)?;
    // Scrub before the cut because the scrubber does not find a part of the token.
    let message = scrubber.scrub(message);
    let plain = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(LONGEST_MESSAGE).collect())
}
