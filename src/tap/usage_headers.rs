use http::HeaderMap;

use super::document::append_digit;
use crate::context::Usage;

/// Reads the token counts in the headers of TGI and TEI.
pub(super) fn usage(headers: &HeaderMap) -> Option<Usage> {
    let usage = Usage {
        prompt_tokens: count(headers, "x-prompt-tokens")
            .or_else(|| count(headers, "x-compute-tokens")),
        completion_tokens: count(headers, "x-generated-tokens"),
        total_tokens: None,
    };
    (usage != Usage::default()).then_some(usage)
}

fn count(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = headers.get(name)?.as_bytes();
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |count, digit| append_digit(count, *digit)))
}
