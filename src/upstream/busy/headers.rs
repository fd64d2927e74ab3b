use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};

use crate::retry_after::{RETRY_AFTER_MS, number, reset};

/// The headers of rate limits: the rest of each limit and the time of its reset.
///
/// OpenAI and Groq write durations (`6m0s`, `7.66s`), Azure OpenAI whole seconds, Anthropic times of
/// RFC 3339 and OpenRouter milliseconds since 1970-01-01.
const LIMITS: [(&str, &str); 8] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
];

/// Returns the wait until the rate limits of a 429 reset: the longest of those that are used up, or
/// else the shortest. A limit that is not used up may still be too small for one request.
pub(super) fn reset_wait(headers: &HeaderMap, now: f64) -> Option<f64> {
    let (mut used_up, mut others) = (None, None);
    let mut add = |remaining: Option<f64>, wait: f64| {
        if remaining.is_some_and(|remaining| remaining <= 0.0) {
            used_up = Some(used_up.map_or(wait, |longest: f64| longest.max(wait)));
        } else {
            others = Some(others.map_or(wait, |shortest: f64| shortest.min(wait)));
        }
    };
    for (remaining, resets) in LIMITS {
        let Some(wait) = headers.get(resets).and_then(text).and_then(|text| reset(text, now))
        else {
            continue;
        };
        add(headers.get(remaining).and_then(text).and_then(number), wait);
    }
    // The Hub of Hugging Face writes `ratelimit: "api";r=0;t=55`.
    for item in
        headers.get_all("ratelimit").iter().filter_map(text).flat_map(|text| text.split(','))
    {
        let parameter = |name: &str| {
            let mut parameters =
                item.split(';').filter_map(|part| part.trim_ascii().split_once('='));
            parameters.find_map(|(key, value)| (key == name).then(|| number(value))?)
        };
        if let Some(wait) = parameter("t") {
            add(parameter("r"), wait);
        }
    }
    used_up.or(others)
}

/// Writes a wait as `retry-after`, rounded up to whole seconds and at most `max`. Without a wait the
/// header goes.
pub(super) fn write_wait(headers: &mut HeaderMap, wait: Option<f64>, max: f64) {
    headers.remove(RETRY_AFTER);
    let Some(wait) = wait else {
        headers.remove(RETRY_AFTER_MS);
        return;
    };
    let seconds = wait.ceil().min(max.ceil());
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds as u64));
    // A client that reads milliseconds first must not wait longer than the others.
    let is_shorter = |value: &HeaderValue| {
        let milliseconds = text(value).and_then(number);
        milliseconds.is_some_and(|milliseconds| milliseconds <= seconds * 1_000.0)
    };
    if !headers.get_all(RETRY_AFTER_MS).iter().all(is_shorter) {
        headers.remove(RETRY_AFTER_MS);
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}
