use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{DATE, RETRY_AFTER},
};

use super::{
    date::http_date,
    seconds::{number, retry_after},
};

/// Azure OpenAI sends it, and the SDKs of OpenAI read it first.
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Returns the seconds since 1970-01-01 at which a response was sent, by the clock of its server.
///
/// A date in `retry-after` is relative to that clock.
pub(crate) fn sent_at(headers: &HeaderMap) -> Option<f64> {
    http_date(text(headers.get(DATE)?)?)
}

/// Returns the seconds that `retry-after-ms` or `retry-after` ask to wait. `now` is in seconds since
/// 1970-01-01.
pub(crate) fn stated_wait(headers: &HeaderMap, now: f64) -> Option<f64> {
    let milliseconds = headers.get_all(RETRY_AFTER_MS).iter().filter_map(text).find_map(number);
    milliseconds.map(|milliseconds| milliseconds / 1_000.0).or_else(|| {
        let mut values = headers.get_all(RETRY_AFTER).iter().filter_map(text);
        values.find_map(|value| retry_after(value, now))
    })
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}
