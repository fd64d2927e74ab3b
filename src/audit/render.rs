//! Writes the members of a request's record.

use crate::{
    context::{CacheOutcome, StreamEnd},
    json_object::{JsonObject, member_name, microseconds, rfc3339},
    record::{self, PayloadDigest, Record},
    sha256::Digest,
};

/// Passes the members to `take`, each with a comma before it. Most records fit on the stack.
pub(super) fn members(record: &Record<'_>, take: impl FnOnce(&[u8])) {
    let mut object = JsonObject::default();
    who(&mut object, record);
    what(&mut object, record);
    decisions(&mut object, record);
    result(&mut object, record);
    record::added_values(&mut object, record);
    take(object.written());
}

/// When it arrived and from whom.
fn who(object: &mut JsonObject, record: &Record<'_>) {
    object.plain(member_name!("time"), str::from_utf8(&rfc3339(record.time())).ok());
    object.text(member_name!("request_id"), record.request_id());
    object.text(member_name!("trace_id"), record.trace_id());
    if let Some(principal) = record.principal() {
        object.push(member_name!("principal"));
        let start = object.open();
        object.text(member_name!("proof"), Some(principal.proof.as_str()));
        object.text(member_name!("issuer"), Some(principal.issuer));
        object.text(member_name!("subject"), Some(principal.subject));
        object.close(start);
    }
    object.text(member_name!("tenant"), record.tenant());
    object.text(member_name!("credential_id"), record.credential_id());
}

fn what(object: &mut JsonObject, record: &Record<'_>) {
    object.text(member_name!("method"), Some(record.method()));
    object.text(member_name!("path"), Some(record.path()));
    object.text(member_name!("route"), record.route());
    object.text(member_name!("stage"), record.stage());
    object.text(member_name!("model"), record.model());
    object.text(member_name!("model_target"), record.model_target());
    match record.payload_digest() {
        Some(PayloadDigest::Sha256(bytes)) => {
            let digest = Digest::from_bytes(bytes).to_hex();
            object.plain(member_name!("payload_sha256"), Some(&digest));
        }
        Some(PayloadDigest::Empty) => object.plain(member_name!("payload"), Some("empty")),
        Some(PayloadDigest::Partial) => object.plain(member_name!("payload"), Some("partial")),
        Some(PayloadDigest::Unread) => object.plain(member_name!("payload"), Some("unread")),
        None => {}
    }
}

/// The decisions of the layers.
fn decisions(object: &mut JsonObject, record: &Record<'_>) {
    let decisions = record.decisions();
    if !decisions.is_empty() {
        object.push(member_name!("decisions"));
        object.push(b"\"");
        // Its text needs no escapes.
        object.display(&decisions);
        object.push(b"\"");
    }
    object.text(member_name!("refusal"), record.refusal());
    object.text(member_name!("limit"), record.limit());
    object.text(member_name!("limit_shadow"), record.limit_shadow());
    object.plain(member_name!("cache"), record.cache().map(CacheOutcome::as_str));
    let attempts = Some(record.attempts()).filter(|attempts| *attempts > 0);
    object.number(member_name!("attempts"), attempts);
    object.text(member_name!("upstream"), record.upstream());
    let status = record.upstream_status().map(|status| status.as_u16());
    object.number(member_name!("upstream_status"), status);
}

fn result(object: &mut JsonObject, record: &Record<'_>) {
    object.plain(member_name!("outcome"), Some(record.outcome().as_str()));
    object.number(member_name!("status"), record.status().map(|status| status.as_u16()));
    object.number(member_name!("grpc_status"), record.grpc_status());
    object.number(member_name!("bytes_in"), Some(record.bytes_in()));
    object.number(member_name!("bytes_out"), Some(record.bytes_out()));
    object.number(member_name!("total_us"), Some(microseconds(record.total())));
    if let Some(usage) = record.usage() {
        object.push(member_name!("usage"));
        let start = object.open();
        object.number(member_name!("prompt_tokens"), usage.prompt_tokens);
        object.number(member_name!("completion_tokens"), usage.completion_tokens);
        object.number(member_name!("total_tokens"), usage.total_tokens);
        object.number(member_name!("cached_tokens"), usage.cached_tokens);
        object.number(member_name!("reasoning_tokens"), usage.reasoning_tokens);
        object.number(member_name!("cache_write_tokens"), usage.cache_write_tokens);
        object.close(start);
    }
    object.plain(member_name!("stream_end"), record.stream_end().map(StreamEnd::as_str));
}
