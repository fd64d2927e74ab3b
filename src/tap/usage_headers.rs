use http::{HeaderMap, HeaderName};

use super::document::append_digit;
use crate::context::Usage;

const PROMPT: HeaderName = HeaderName::from_static("x-prompt-tokens");
const COMPUTE: HeaderName = HeaderName::from_static("x-compute-tokens");
const GENERATED: HeaderName = HeaderName::from_static("x-generated-tokens");

/// Reads the token counts in the headers of TGI and TEI.
pub(super) fn usage(headers: &HeaderMap) -> Option<Usage> {
    // Most responses have none, which one pass over the names shows.
    if !headers.keys().any(|name| name.as_str().ends_with("-tokens")) {
        return None;
    }
    let usage = Usage {
        prompt_tokens: count(headers, &PROMPT).or_else(|| count(headers, &COMPUTE)),
        completion_tokens: count(headers, &GENERATED),
        ..Usage::default()
    };
    (usage != Usage::default()).then_some(usage)
}

fn count(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let digits = headers.get(name)?.as_bytes();
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |count, digit| append_digit(count, *digit)))
}
