//! Usage and stream ends that `Tap` reads from recorded responses, whole and cut at every byte.

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod details;
mod documents;
mod estimated;
mod full_parse;
mod resemblance;
mod streams;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tower_inference::{
    body::{BodyEnd, Watch},
    context::{RequestContext, StreamEnd, Usage},
    tap::Tap,
};

use proptest::prelude::*;

/// Prompt, completion and total tokens.
type Tokens = (Option<u64>, Option<u64>, Option<u64>);

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("content-type", "text/event-stream");

fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

fn tokens(usage: Usage) -> Tokens {
    (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
}

/// Returns usage, end and estimated tokens of a response in these chunks.
fn results(
    head: &[(&'static str, &'static str)],
    chunks: &[&[u8]],
    end: BodyEnd,
) -> (Option<Usage>, Option<StreamEnd>, u64) {
    let context = RequestContext::new();
    if let Some(mut tap) = Tap::claim(&context, StatusCode::OK, &headers(head)) {
        for chunk in chunks {
            tap.data(&Bytes::copy_from_slice(chunk));
        }
        tap.end(end);
    }
    let outcome = context.outcome();
    (outcome.usage, outcome.stream_end, outcome.generated_tokens)
}

fn run_to(
    head: &[(&'static str, &'static str)],
    chunks: &[&[u8]],
    end: BodyEnd,
) -> (Option<Tokens>, Option<StreamEnd>) {
    let (usage, end, _) = results(head, chunks, end);
    (usage.map(tokens), end)
}

/// Returns usage and end of a response, which must be the same at every cut, as must be its tokens.
fn usage_and_end(
    head: &[(&'static str, &'static str)],
    body: &str,
) -> (Option<Tokens>, Option<StreamEnd>) {
    let (usage, end, _) = results_at_every_cut(head, body);
    (usage.map(tokens), end)
}

fn results_at_every_cut(
    head: &[(&'static str, &'static str)],
    body: &str,
) -> (Option<Usage>, Option<StreamEnd>, u64) {
    let body = body.as_bytes();
    let whole = results(head, &[body], BodyEnd::Complete);
    for at in 0..=body.len() {
        let cut = results(head, &[&body[..at], &body[at..]], BodyEnd::Complete);
        assert_eq!(cut, whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(results(head, &bytes, BodyEnd::Complete), whole, "byte by byte");
    whole
}

fn json(body: &str) -> Option<Tokens> {
    let (usage, end) = usage_and_end(&[JSON], body);
    assert_eq!(end, None, "only streams have an end");
    usage
}

fn stream(body: &str) -> (Option<Tokens>, Option<StreamEnd>) {
    usage_and_end(&[EVENTS], body)
}
