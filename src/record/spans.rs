//! The record of a request as attributes of its client span.

use tracing::{Span, field::Empty};

use super::{
    gen_ai::{GenAiAttribute as A, GenAiConventions, OTHER_PROVIDER},
    record::{Record, recorded_text},
};
use crate::{context::name_server, secret::Scrubber};

/// The names of the fields. Both versions of the conventions have the same, but for tokens written to caches.
const fn name(attribute: A) -> &'static str {
    GenAiConventions::Latest.name(attribute)
}

const OPERATION: &str = name(A::OperationName);
const PROVIDER: &str = name(A::ProviderName);
const MODEL: &str = name(A::RequestModel);
const STREAM: &str = name(A::RequestStream);
const FIRST_CHUNK: &str = name(A::TimeToFirstChunk);
const INPUT: &str = name(A::InputTokens);
const OUTPUT: &str = name(A::OutputTokens);
const CACHE_READ: &str = name(A::CacheReadInputTokens);
const CACHE_WRITE: &str = name(A::CacheWriteInputTokens);
const CACHE_WRITE_1_41: &str = GenAiConventions::V1_41.name(A::CacheWriteInputTokens);
const REASONING: &str = name(A::ReasoningOutputTokens);
const RESPONSE_ID: &str = name(A::ResponseId);
const RESPONSE_MODEL: &str = name(A::ResponseModel);
const FINISH_REASONS: &str = name(A::ResponseFinishReasons);

/// Opens the span over all attempts of a request of inference, with the attributes that samplers read.
///
/// It is closed when its last clone is dropped and the attempts have ended.
pub(crate) fn open(
    operation: &'static str,
    model: Option<&str>,
    scrubbers: &[Scrubber],
    parent: Option<&Span>,
) -> Span {
    // The client chooses it, and may send a token.
    let model = model.map(|model| recorded_text(scrubbers, model));
    // One list of fields for both kinds of parents.
    macro_rules! client_span {
        ($($parent:tt)*) => {
            tracing::info_span!(
                target: "tower_inference::gen_ai",
                $($parent)*
                "gen_ai",
                otel.kind = "client",
                otel.name = Empty,
                otel.status_code = Empty,
                { OPERATION } = operation,
                { PROVIDER } = Empty,
                { MODEL } = model,
                { STREAM } = Empty,
                { FIRST_CHUNK } = Empty,
                { INPUT } = Empty,
                { OUTPUT } = Empty,
                { CACHE_READ } = Empty,
                { CACHE_WRITE } = Empty,
                { CACHE_WRITE_1_41 } = Empty,
                { REASONING } = Empty,
                { RESPONSE_ID } = Empty,
                { RESPONSE_MODEL } = Empty,
                { FINISH_REASONS } = Empty,
                server.address = Empty,
                server.port = Empty,
                error.type = Empty,
            )
        };
    }
    let span = match parent {
        Some(parent) => client_span!(parent: parent,),
        None => client_span!(),
    };
    if !span.is_disabled() {
        match model {
            // As a string, which subscribers escape. A client chooses the model.
            Some(model) => span.record("otel.name", &*format!("{operation} {model}")),
            None => span.record("otel.name", operation),
        };
    }
    span
}

/// Renders the record into the span over its attempts. The drop of the span closes it.
pub(crate) fn finish(record: &Record<'_>, span: &Span, conventions: GenAiConventions) {
    if span.is_disabled() {
        return;
    }
    // The conventions require one.
    span.record(PROVIDER, record.provider().unwrap_or(OTHER_PROVIDER));
    if let Some(origin) = record.upstream() {
        name_server(span, origin);
    }
    if record.stream_end().is_some() {
        span.record(STREAM, true);
        if let Some(wait) = record.time_to_first_chunk() {
            span.record(FIRST_CHUNK, wait.as_secs_f64());
        }
    }
    if let Some(usage) = record.usage() {
        let count = |name, tokens: Option<u64>| {
            // `tracing-opentelemetry` exports a `u64` as a text.
            if let Some(tokens) = tokens.and_then(|tokens| i64::try_from(tokens).ok()) {
                span.record(name, tokens);
            }
        };
        count(INPUT, usage.prompt_tokens);
        count(OUTPUT, usage.completion_tokens);
        count(CACHE_READ, usage.cached_tokens);
        count(conventions.name(A::CacheWriteInputTokens), usage.cache_write_tokens);
        count(REASONING, usage.reasoning_tokens);
    }
    for (name, text) in
        [(RESPONSE_ID, record.response_id()), (RESPONSE_MODEL, record.response_model())]
    {
        if let Some(text) = text {
            span.record(name, text);
        }
    }
    let reasons: Vec<_> = record.finish_reasons().collect();
    if !reasons.is_empty() {
        // `tracing` has no lists.
        span.record(FINISH_REASONS, reasons.join(","));
    }
    if let Some(error) = record.upstream_error_type() {
        span.record("error.type", error.as_str());
        span.record("otel.status_code", "ERROR");
    }
}
