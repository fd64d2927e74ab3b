use std::time::Duration;

use super::unit::Unit;
use crate::{
    context::CacheOutcome,
    record::{Record, RequestOutcome},
};

/// A number as it is written.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i64),
    Whole(u64),
    Float(f64),
}

/// A metric of each request that has a value for it.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) value: fn(&Record<'_>) -> Option<Number>,
}

const fn metric(
    name: &'static str,
    unit: Unit,
    value: fn(&Record<'_>) -> Option<Number>,
) -> Metric {
    Metric { name, unit, value }
}

pub(super) const METRICS: &[Metric] = &[
    metric("Count", Unit::Count, |_| Some(Number::Whole(1))),
    metric("4XXError", Unit::Count, |record| {
        flag(record.status().is_some_and(|status| status.is_client_error()))
    }),
    metric("5XXError", Unit::Count, |record| {
        flag(record.status().is_some_and(|status| status.is_server_error()))
    }),
    metric("Rejections", Unit::Count, |record| flag(record.outcome() == RequestOutcome::Rejected)),
    metric("Latency", Unit::Milliseconds, |record| milliseconds(Some(record.total()))),
    metric("IntegrationLatency", Unit::Milliseconds, |record| milliseconds(record.upstream_time())),
    metric("FirstByteLatency", Unit::Milliseconds, |record| {
        milliseconds(record.first_byte_after())
    }),
    metric("FirstTokenLatency", Unit::Milliseconds, |record| {
        milliseconds(record.first_token_after())
    }),
    metric("DataProcessed", Unit::Bytes, |record| {
        Some(Number::Whole(record.bytes_in().saturating_add(record.bytes_out())))
    }),
    metric("CacheHitCount", Unit::Count, |record| {
        record.cache().and_then(|cache| flag(cache == CacheOutcome::Hit))
    }),
    metric("CacheMissCount", Unit::Count, |record| {
        record.cache().and_then(|cache| flag(cache == CacheOutcome::Miss))
    }),
    metric("InputTokens", Unit::Count, |record| whole(record.usage()?.prompt_tokens)),
    metric("OutputTokens", Unit::Count, |record| whole(record.usage()?.completion_tokens)),
    metric("CachedTokens", Unit::Count, |record| whole(record.usage()?.cached_tokens)),
    metric("CacheWriteTokens", Unit::Count, |record| whole(record.usage()?.cache_write_tokens)),
    metric("ReasoningTokens", Unit::Count, |record| whole(record.usage()?.reasoning_tokens)),
];

fn flag(is: bool) -> Option<Number> {
    Some(Number::Whole(is.into()))
}

fn whole(number: Option<u64>) -> Option<Number> {
    number.map(Number::Whole)
}

fn milliseconds(time: Option<Duration>) -> Option<Number> {
    time.map(|time| Number::Float(time.as_micros() as f64 / 1_000.0))
}
