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
    json_object::{JsonObject, rfc3339},
    record::{GenAiConventions, Record, RequestOutcome},
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
        let failed = record.outcome() != RequestOutcome::Complete;
        let outcome = failed.then(|| record.outcome().as_str());
        Value::text(record.refusal().or(outcome))
    }),
    // Of the upstream: in the GenAI conventions it is the server.
    ("server.address", In::Both, YES, |record, _| {
        Value::text(record.upstream().map(|upstream| host_and_port(upstream).0))
    }),
    ("server.port", In::Both, YES, |record, _| {
        Value::number(record.upstream().and_then(|upstream| host_and_port(upstream).1))
    }),
    ("gen_ai.operation.name", In::Both, YES, |record, _| Value::text(record.operation())),
    ("gen_ai.provider.name", In::Both, YES, |record, _| {
        Value::text(record.upstream().map(provider))
    }),
    ("gen_ai.request.model", In::Both, YES, |record, _| Value::text(record.model())),
    // A response that was no stream does not tell whether one was requested.
    ("gen_ai.request.stream", In::Both, YES, |record, _| {
        record.stream_end().map_or(Value::None, |_| Value::Flag(true))
    }),
    ("gen_ai.response.time_to_first_chunk", In::Both, YES, |record, _| {
        seconds(record.stream_end().and_then(|_| record.first_byte_after()))
    }),
    ("gen_ai.usage.input_tokens", In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.prompt_tokens))
    }),
    ("gen_ai.usage.output_tokens", In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.completion_tokens))
    }),
    ("gen_ai.usage.cache_read.input_tokens", In::Both, YES, |record, _| {
        Value::number(record.usage().and_then(|usage| usage.cached_tokens))
    }),
    ("gen_ai.usage.cache_creation.input_tokens", In::V1_41, YES, cache_write_tokens),
    ("gen_ai.usage.cache_write.input_tokens", In::Latest, YES, cache_write_tokens),
    ("gen_ai.usage.reasoning.output_tokens", In::Both, YES, |record, _| {
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
    ("gen_ai.response.id", In::Both, NO, added),
    ("gen_ai.response.model", In::Both, NO, added),
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

/// Hosts of well-known providers (`gen_ai.provider.name`), by the end of the name.
const PROVIDERS: &[(&str, &str)] = &[
    ("huggingface.co", "huggingface"),
    ("huggingface.cloud", "huggingface"),
    ("hf.space", "huggingface"),
    ("openai.azure.com", "azure.ai.openai"),
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("cohere.com", "cohere"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("perplexity.ai", "perplexity"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("moonshot.ai", "moonshot_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
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
            Value::None => {}
        }
    }
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

/// Returns the provider of an upstream: a well-known name or the host.
fn provider(upstream: &str) -> &str {
    let host = host_and_port(upstream).0;
    let is_of = |domain: &str| {
        let before = host.strip_suffix(domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    PROVIDERS.iter().find(|(domain, _)| is_of(domain)).map_or(host, |(_, name)| name)
}

fn host_and_port(origin: &str) -> (&str, Option<u16>) {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
    let by_scheme = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    match authority.rsplit_once(':') {
        // Not within the brackets of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().or(by_scheme)),
        _ => (authority, by_scheme),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_by_their_hosts() {
        for (upstream, expected) in [
            ("https://router.huggingface.co", "huggingface"),
            ("https://x.us-east-1.aws.endpoints.huggingface.cloud", "huggingface"),
            ("https://api.openai.com", "openai"),
            ("https://me.openai.azure.com", "azure.ai.openai"),
            ("https://api.x.ai", "x_ai"),
            // Only whole labels count.
            ("https://box.ai", "box.ai"),
            ("http://127.0.0.1:8000", "127.0.0.1"),
            ("http://[::1]:8000", "[::1]"),
        ] {
            assert_eq!(provider(upstream), expected, "{upstream}");
        }
        assert_eq!(host_and_port("https://[::1]"), ("[::1]", Some(443)));
        assert_eq!(host_and_port("http://a:8000"), ("a", Some(8_000)));
    }

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
