//! The attributes of OpenTelemetry: its stable ones of HTTP and its GenAI conventions.
//!
//! Sources: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, the GenAI conventions of
//! `open-telemetry/semantic-conventions` v1.41 and of `open-telemetry/semantic-conventions-genai`.

use std::{borrow::Cow, time::Duration};

use super::{
    error::FormatError,
    fields::{Field, Fields, Getter, Value, added},
};
use crate::{
    context::server_of,
    json_object::{JsonObject, rfc3339},
    record::{GenAiAttribute as A, GenAiConventions, Record},
};

/// The versions that have an attribute.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Both,
    V1_41,
    Latest,
}

/// Whether an attribute is in the set by default.
const YES: bool = true;
const NO: bool = false;

/// The names that both versions have, and those of the latest.
const fn name(attribute: A) -> &'static str {
    GenAiConventions::Latest.name(attribute)
}

/// The attributes, each with its value here. One without a counterpart has the value that the program added
/// under its name. Names of this crate's own begin with `tower_inference.`.
const ATTRIBUTES: &[(&str, In, bool, Getter)] = &[
    ("timestamp", In::Both, YES, |record, _| {
        let time = rfc3339(record.time());
        Value::short(str::from_utf8(&time).ok())
    }),
    ("trace_id", In::Both, YES, |record, _| Value::text(record.trace_id())),
    ("http.request.method", In::Both, YES, |record, _| Value::text(Some(record.method()))),
    ("http.request.body.size", In::Both, YES, |record, _| Value::Number(record.bytes_in())),
    ("http.response.status_code", In::Both, YES, |record, _| {
        Value::number(record.status().map(|status| status.as_u16()))
    }),
    ("http.response.body.size", In::Both, YES, |record, _| Value::Number(record.bytes_out())),
    ("http.route", In::Both, YES, |record, _| Value::text(record.route())),
    ("http.server.request.duration", In::Both, YES, |record, _| seconds(Some(record.total()))),
    ("url.path", In::Both, YES, |record, _| Value::text(Some(record.path()))),
    ("network.protocol.name", In::Both, NO, |_, _| Value::text(Some("http"))),
    ("network.protocol.version", In::Both, YES, |record, _| Value::text(record.http_version())),
    ("client.address", In::Both, YES, |record, _| Value::short(record.client_address())),
    ("user_agent.original", In::Both, YES, |record, _| Value::text(record.user_agent())),
    ("enduser.id", In::Both, YES, |record, _| {
        Value::text(record.principal().map(|caller| caller.subject))
    }),
    ("rpc.grpc.status_code", In::Both, YES, |record, _| Value::number(record.grpc_status())),
    ("error.type", In::Both, YES, |record, _| {
        Value::owned(record.error_type().map(|error| error.as_str().to_owned()))
    }),
    // Of the upstream: in the GenAI conventions it is the server.
    ("server.address", In::Both, YES, |record, _| {
        Value::text(record.upstream().map(|upstream| server_of(upstream).0))
    }),
    ("server.port", In::Both, YES, |record, _| {
        Value::number(record.upstream().and_then(|upstream| server_of(upstream).1))
    }),
    (name(A::OperationName), In::Both, YES, |record, _| Value::text(record.operation())),
    (name(A::ProviderName), In::Both, YES, |record, _| Value::text(record.provider())),
    (name(A::RequestModel), In::Both, YES, |record, _| Value::text(record.model())),
    // A response that was no stream does not tell whether one was requested.
    (name(A::RequestStream), In::Both, YES, |record, _| {
        record.stream_end().map_or(Value::None, |_| Value::Flag(true))
    }),
    (name(A::TimeToFirstChunk), In::Both, YES, |record, _| seconds(record.time_to_first_chunk())),
    (name(A::InputTokens), In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.prompt_tokens))
    }),
    (name(A::OutputTokens), In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.completion_tokens))
    }),
    (name(A::CacheReadInputTokens), In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.cached_tokens))
    }),
    (GenAiConventions::V1_41.name(A::CacheWriteInputTokens), In::V1_41, YES, cache_write_tokens),
    (name(A::CacheWriteInputTokens), In::Latest, YES, cache_write_tokens),
    (name(A::ReasoningOutputTokens), In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.reasoning_tokens))
    }),
    ("gen_ai.usage.text.input_tokens", In::Latest, NO, added),
    ("gen_ai.usage.image.input_tokens", In::Latest, NO, added),
    ("gen_ai.usage.audio.input_tokens", In::Latest, NO, added),
    ("gen_ai.usage.text.output_tokens", In::Latest, NO, added),
    ("gen_ai.usage.image.output_tokens", In::Latest, NO, added),
    ("gen_ai.usage.audio.output_tokens", In::Latest, NO, added),
    ("gen_ai.conversation.id", In::Both, NO, added),
    ("gen_ai.output.type", In::Both, NO, added),
    ("gen_ai.request.choice.count", In::Both, NO, added),
    ("gen_ai.request.max_tokens", In::Both, NO, added),
    ("gen_ai.request.seed", In::Both, NO, added),
    ("gen_ai.request.temperature", In::Both, NO, added),
    ("gen_ai.request.top_p", In::Both, NO, added),
    (name(A::ResponseId), In::Both, NO, |record, name| {
        record.response_id().map_or_else(|| added(record, name), |id| Value::text(Some(id)))
    }),
    (name(A::ResponseModel), In::Both, NO, |record, name| {
        record.response_model().map_or_else(|| added(record, name), |id| Value::text(Some(id)))
    }),
    (name(A::ResponseFinishReasons), In::Both, NO, |record, _| {
        let reasons: Vec<_> = record.finish_reasons().collect();
        if reasons.is_empty() { Value::None } else { Value::Words(reasons) }
    }),
    ("tower_inference.request_id", In::Both, YES, |record, _| Value::text(record.request_id())),
    ("tower_inference.outcome", In::Both, YES, |record, _| {
        Value::text(Some(record.outcome().as_str()))
    }),
    ("tower_inference.refusal", In::Both, YES, |record, _| Value::text(record.refusal())),
    ("tower_inference.limit", In::Both, YES, |record, _| Value::text(record.limit())),
    ("tower_inference.limit_shadow", In::Both, YES, |record, _| Value::text(record.limit_shadow())),
    ("tower_inference.cache", In::Both, YES, |record, _| {
        Value::text(record.cache().map(|cache| cache.as_str()))
    }),
    ("tower_inference.principal.proof", In::Both, YES, |record, _| {
        Value::text(record.principal().map(|caller| caller.proof.as_str()))
    }),
    ("tower_inference.principal.issuer", In::Both, YES, |record, _| {
        Value::text(record.principal().map(|caller| caller.issuer))
    }),
    ("tower_inference.tenant", In::Both, YES, |record, _| Value::text(record.tenant())),
    ("tower_inference.credential_id", In::Both, YES, |record, _| {
        Value::text(record.credential_id())
    }),
    ("tower_inference.stage", In::Both, YES, |record, _| Value::text(record.stage())),
    ("tower_inference.model_target", In::Both, YES, |record, _| Value::text(record.model_target())),
    ("tower_inference.stream_end", In::Both, YES, |record, _| {
        Value::text(record.stream_end().map(|end| end.as_str()))
    }),
    ("tower_inference.attempts", In::Both, YES, |record, _| {
        Value::number(Some(record.attempts()).filter(|attempts| *attempts > 0))
    }),
    ("tower_inference.upstream.duration", In::Both, YES, |record, _| {
        seconds(record.upstream_time())
    }),
    ("tower_inference.upstream.status_code", In::Both, YES, |record, _| {
        Value::number(record.upstream_status().map(|status| status.as_u16()))
    }),
    // The span of an attempt has the same name.
    ("tower_inference.upstream_request_id", In::Both, YES, |record, _| {
        Value::text(record.upstream_request_id())
    }),
];

pub(super) fn default(version: GenAiConventions) -> Fields {
    let own = ATTRIBUTES.iter().filter(|(_, of, by_default, _)| *by_default && is_in(*of, version));
    Fields { all: own.map(|(name, _, _, value)| field(name, *value)).collect(), values: true }
}

pub(super) fn named<T: AsRef<str>>(
    version: GenAiConventions,
    names: impl IntoIterator<Item = T>,
) -> Result<Fields, FormatError> {
    Fields::named(names, |name| {
        let known = ATTRIBUTES.iter().find(|(own, of, _, _)| *own == name && is_in(*of, version));
        known.map(|(name, _, _, value)| field(name, *value))
    })
}

/// Writes each field that has a value. A name under a pseudonym is one of its own.
pub(super) fn write(
    object: &mut JsonObject,
    fields: &Fields,
    record: &Record<'_>,
    pseudonymous: bool,
) {
    for field in &*fields.all {
        let value = (field.value)(record, &field.name);
        if matches!(value, Value::None) {
            continue;
        }
        match &*field.name {
            "enduser.id" if pseudonymous => object.name("enduser.pseudo.id"),
            name => object.name(name),
        }
        match value {
            Value::Text(text) => object.string(&text),
            Value::Short(text) => object.string(text.as_str()),
            Value::Number(number) => object.display(number),
            Value::Decimal(number) => object.display(number),
            Value::Flag(flag) => object.display(flag),
            // None of them needs an escape.
            Value::Words(words) => {
                object.display(format_args!("{words:?}").to_string().replace(", ", ","))
            }
            Value::None => {}
        }
    }
}

/// Returns whether a field is read from the response.
pub(super) fn needs_response_facts(fields: &Fields) -> bool {
    let facts = [A::ResponseId, A::ResponseModel, A::ResponseFinishReasons].map(name);
    fields.all.iter().any(|field| facts.contains(&&*field.name))
}

fn is_in(of: In, version: GenAiConventions) -> bool {
    match version {
        GenAiConventions::V1_41 => of != In::Latest,
        GenAiConventions::Latest => of != In::V1_41,
    }
}

const fn field(name: &'static str, value: Getter) -> Field {
    Field { name: Cow::Borrowed(name), value }
}

fn cache_write_tokens<'a>(record: &'a Record<'_>, _: &'a str) -> Value<'a> {
    Value::number(record.usage().and_then(|usage| usage.cache_write_tokens))
}

fn seconds<'a>(time: Option<Duration>) -> Value<'a> {
    time.map_or(Value::None, |time| Value::Decimal(time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_has_an_attribute_twice() {
        for version in [GenAiConventions::V1_41, GenAiConventions::Latest] {
            let own = ATTRIBUTES.iter().filter(|(_, of, _, _)| is_in(*of, version));
            let mut names: Vec<_> = own.map(|(name, _, _, _)| *name).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all);
        }
    }
}
