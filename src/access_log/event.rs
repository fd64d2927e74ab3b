use tracing::Level;

use crate::{
    context::{CacheOutcome, StreamEnd},
    json_object::{microseconds, rfc3339},
    printable::printable,
    record::{Record, RecordSink},
};

const TARGET: &str = "tower_inference::access";

/// Writes each record as one `tracing` event.
pub(super) struct Events;

impl RecordSink for Events {
    fn enabled(&self) -> bool {
        tracing::event_enabled!(target: TARGET, Level::INFO)
    }

    fn record(&self, record: &Record<'_>) {
        let time = rfc3339(record.time());
        let principal = record.principal();
        let usage = record.usage().unwrap_or_default();
        tracing::info!(
            target: TARGET,
            time = str::from_utf8(&time).ok(),
            request_id = record.request_id().map(printable).as_deref(),
            trace_id = record.trace_id(),
            principal.proof = principal.map(|principal| principal.proof.as_str()),
            principal.issuer = principal.map(|principal| printable(principal.issuer)).as_deref(),
            principal.subject = principal.map(|principal| printable(principal.subject)).as_deref(),
            tenant = record.tenant().map(printable).as_deref(),
            credential_id = record.credential_id().map(printable).as_deref(),
            method = record.method(),
            path = &*printable(record.path()),
            http_version = record.http_version(),
            user_agent = record.user_agent().map(printable).as_deref(),
            route = record.route().map(printable).as_deref(),
            stage = record.stage().map(printable).as_deref(),
            status = record.status().map(|status| status.as_u16()),
            grpc_status = record.grpc_status(),
            refusal = record.refusal(),
            limit = record.limit().map(printable).as_deref(),
            limit_shadow = record.limit_shadow().map(printable).as_deref(),
            cache = record.cache().map(CacheOutcome::as_str),
            outcome = record.outcome().as_str(),
            bytes_in = record.bytes_in(),
            bytes_out = record.bytes_out(),
            head_us = record.head_after().map(microseconds),
            first_byte_us = record.first_byte_after().map(microseconds),
            total_us = microseconds(record.total()),
            upstream = record.upstream().map(printable).as_deref(),
            upstream_status = record.upstream_status().map(|status| status.as_u16()),
            attempts = Some(record.attempts()).filter(|attempts| *attempts > 0),
            model = record.model().map(printable).as_deref(),
            model_target = record.model_target().map(printable).as_deref(),
            usage.prompt_tokens = usage.prompt_tokens,
            usage.completion_tokens = usage.completion_tokens,
            usage.total_tokens = usage.total_tokens,
            usage.cached_tokens = usage.cached_tokens,
            usage.reasoning_tokens = usage.reasoning_tokens,
            stream_end = record.stream_end().map(StreamEnd::as_str),
        );
    }
}
