//! Writes a record as a line of JSON.

use crate::{
    context::{CacheOutcome, StreamEnd},
    json_object::{JsonObject, member_name, microseconds, rfc3339},
    record::Record,
};

/// Passes the line without its end to `take`. Most lines fit on the stack.
pub(super) fn line(record: &Record<'_>, take: impl FnOnce(&[u8])) {
    let mut object = JsonObject::default();
    let start = object.open();
    object.plain(member_name!("time"), str::from_utf8(&rfc3339(record.time())).ok());
    object.text(member_name!("request_id"), record.request_id());
    object.plain(member_name!("trace_id"), record.trace_id());
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
    object.plain(member_name!("method"), Some(record.method()));
    object.text(member_name!("path"), Some(record.path()));
    object.plain(member_name!("http_version"), record.http_version());
    object.text(member_name!("user_agent"), record.user_agent());
    object.text(member_name!("route"), record.route());
    object.text(member_name!("stage"), record.stage());
    object.number(member_name!("status"), record.status().map(|status| status.as_u16()));
    object.number(member_name!("grpc_status"), record.grpc_status());
    object.text(member_name!("refusal"), record.refusal());
    object.text(member_name!("limit"), record.limit());
    object.text(member_name!("limit_shadow"), record.limit_shadow());
    object.plain(member_name!("cache"), record.cache().map(CacheOutcome::as_str));
    object.plain(member_name!("outcome"), Some(record.outcome().as_str()));
    object.number(member_name!("bytes_in"), Some(record.bytes_in()));
    object.number(member_name!("bytes_out"), Some(record.bytes_out()));
    object.number(member_name!("head_us"), record.head_after().map(microseconds));
    object.number(member_name!("first_byte_us"), record.first_byte_after().map(microseconds));
    object.number(member_name!("total_us"), Some(microseconds(record.total())));
    object.text(member_name!("upstream"), record.upstream());
    object.number(
        member_name!("upstream_status"),
        record.upstream_status().map(|status| status.as_u16()),
    );
    object
        .number(member_name!("attempts"), Some(record.attempts()).filter(|attempts| *attempts > 0));
    object.text(member_name!("model"), record.model());
    object.text(member_name!("model_target"), record.model_target());
    if let Some(usage) = record.usage() {
        object.push(member_name!("usage"));
        let start = object.open();
        object.number(member_name!("prompt_tokens"), usage.prompt_tokens);
        object.number(member_name!("completion_tokens"), usage.completion_tokens);
        object.number(member_name!("total_tokens"), usage.total_tokens);
        object.number(member_name!("cached_tokens"), usage.cached_tokens);
        object.number(member_name!("reasoning_tokens"), usage.reasoning_tokens);
        object.close(start);
    }
    object.plain(member_name!("stream_end"), record.stream_end().map(StreamEnd::as_str));
    object.close(start);
    take(object.written());
}

/// The line that reports lost lines.
pub(super) fn loss(lines: u64) -> Vec<u8> {
    let mut object = JsonObject::default();
    let start = object.open();
    object.number(member_name!("dropped"), Some(lines));
    object.close(start);
    object.written().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_one_object() {
        assert_eq!(loss(12), br#"{"dropped":12}"#);
    }
}
