use serde_json::Value;

use crate::context::UpstreamState;

/// The statements in the body of a busy or cold upstream.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stated {
    pub(super) state: Option<UpstreamState>,
    /// In seconds.
    pub(super) wait: Option<f64>,
}

/// Reads the body of a 503, or of a 400 of a dedicated endpoint.
pub(super) fn read(body: &[u8], is_dedicated: bool) -> Stated {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let json = json.as_ref();
    let message = json.map_or_else(|| std::str::from_utf8(body).ok(), message);
    if is_dedicated && message.is_some_and(says_paused) {
        return Stated { state: Some(UpstreamState::Paused), wait: None };
    }
    // The serverless API of Hugging Face: `{"error":"Model X is currently loading","estimated_time":20.0}`.
    // Reported in huggingface/transformers#32665 among others.
    let wait =
        json.and_then(|json| json.get("estimated_time")?.as_f64()).filter(|wait| *wait >= 0.0);
    let state =
        (wait.is_some() || message.is_some_and(says_loading)).then_some(UpstreamState::Starting);
    Stated { state, wait }
}

/// Returns the message of an error of Hugging Face, OpenAI or llama.cpp.
fn message(json: &Value) -> Option<&str> {
    let error = json.get("error");
    let nested = error.and_then(|error| error.get("message"));
    error
        .and_then(Value::as_str)
        .or_else(|| nested?.as_str())
        .or_else(|| json.get("message")?.as_str())
}

fn says_loading(message: &str) -> bool {
    // llama.cpp: `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`.
    message.trim_ascii() == "Loading model" || message.contains("is currently loading")
}

/// Returns whether a dedicated endpoint says that it is paused.
///
/// The text is not documented. Reported are a 400 with `Bad Request: Invalid state`
/// (elastic/elasticsearch#112033) and messages that begin by calling the endpoint paused. A message that
/// says so further on may repeat the request: the errors of vLLM have an `input_value`.
fn says_paused(message: &str) -> bool {
    let message = message.trim_ascii().to_ascii_lowercase();
    let after = message.strip_prefix("bad request: ");
    let (is_bad_request, message) = (after.is_some(), after.unwrap_or(&message));
    let message = message.strip_prefix("the ").unwrap_or(message);
    is_bad_request && message.trim_end_matches('.') == "invalid state"
        || message.starts_with("endpoint is paused")
        || message.starts_with("endpoint has been paused")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(body: &str) -> (Option<UpstreamState>, Option<f64>) {
        let stated = read(body.as_bytes(), true);
        (stated.state, stated.wait)
    }

    #[test]
    fn a_loading_model_says_so() {
        let starting = Some(UpstreamState::Starting);
        for (body, wait) in [
            (r#"{"error":"Model gpt2 is currently loading","estimated_time":20.0}"#, Some(20.0)),
            (r#"{"error":"Model gpt2 is currently loading"}"#, None),
            (r#"{"error":"Loading","estimated_time":1e300}"#, Some(1e300)),
            (
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
                None,
            ),
        ] {
            assert_eq!(stated(body), (starting, wait), "{body}");
        }
    }

    #[test]
    fn other_bodies_say_nothing() {
        for body in [
            "",
            "[]",
            "null",
            "{",
            r#"{"estimated_time":"20"}"#,
            r#"{"estimated_time":-1}"#,
            r#"{"estimated_time":NaN}"#,
            r#"{"estimated_time":1e999}"#,
            r#"{"estimated_time":null}"#,
            r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
            r#"{"error":"the word paused is in the prompt"}"#,
            r#"{"error":{"message":7}}"#,
            // vLLM repeats the request.
            r#"{"error":{"message":"1 validation error: input_value='The endpoint is paused'"}}"#,
            "Invalid state",
            "Unknown model: the endpoint has been paused",
        ] {
            assert_eq!(stated(body), (None, None), "{body}");
        }
        assert_eq!(stated(&"[".repeat(16_000)), (None, None));
    }

    #[test]
    fn a_paused_endpoint_says_so() {
        for body in [
            r#"{"error":"Bad Request: Invalid state"}"#,
            "Bad Request: Invalid state",
            r#"{"message":"The endpoint is paused, ask a maintainer to restart it"}"#,
            r#"{"error":"Bad Request: The endpoint is paused, ask a maintainer to restart it"}"#,
            r#"{"error":{"message":"Endpoint is paused."}}"#,
        ] {
            assert_eq!(stated(body), (Some(UpstreamState::Paused), None), "{body}");
            // Another server may say the same about a request.
            assert_eq!(read(body.as_bytes(), false), Stated::default(), "{body}");
        }
    }
}
