//! Writes a record as an object with the crate's own member names.

use super::{
    attempts::{attempt_list, has_attempt_list},
    members::{Member as M, Members},
    shared_members::sample_rate,
};
use crate::{
    context::{CacheOutcome, StreamEnd},
    json_object::{JsonObject, member_name, microseconds, rfc3339},
    record::{self, Record},
};

/// Writes the members of the set.
#[inline]
pub(crate) fn write(object: &mut JsonObject, of: Members, record: &Record<'_>) {
    if of.has(M::Time) {
        object.plain(member_name!("time"), Some(rfc3339(record.time())));
    }
    object.text(member_name!("request_id"), of.when(M::RequestId, || record.request_id()));
    object.plain(member_name!("trace_id"), of.when(M::TraceId, || record.trace_id()));
    object.plain(member_name!("span_id"), of.when(M::SpanId, || record.span_id()));
    let parent = of.when(M::ParentSpanId, || record.parent_span_id());
    object.plain(member_name!("parent_span_id"), parent);
    object.text(member_name!("amzn_trace_id"), of.when(M::AmznTraceId, || record.amzn_trace_id()));
    if of.has_any(M::PrincipalProof, M::PrincipalSubject)
        && let Some(principal) = record.principal()
    {
        object.push(member_name!("principal"));
        let start = object.open();
        let proof = of.when(M::PrincipalProof, || Some(principal.proof.as_str()));
        object.text(member_name!("proof"), proof);
        let issuer = of.when(M::PrincipalIssuer, || Some(principal.issuer));
        object.text(member_name!("issuer"), issuer);
        let subject = of.when(M::PrincipalSubject, || Some(principal.subject));
        object.text(member_name!("subject"), subject);
        object.close(start);
    }
    object.text(member_name!("tenant"), of.when(M::Tenant, || record.tenant()));
    object.text(member_name!("credential_id"), of.when(M::CredentialId, || record.credential_id()));
    if let Some(address) = of.when(M::ClientAddress, || record.client_address()) {
        object.push(member_name!("client_address"));
        object.address(address);
    }
    object.plain(member_name!("method"), of.when(M::Method, || Some(record.method())));
    object.text(member_name!("path"), of.when(M::Path, || Some(record.path())));
    object.plain(member_name!("http_version"), of.when(M::HttpVersion, || record.http_version()));
    object.text(member_name!("user_agent"), of.when(M::UserAgent, || record.user_agent()));
    object.text(member_name!("route"), of.when(M::Route, || record.route()));
    object.text(member_name!("stage"), of.when(M::Stage, || record.stage()));
    let status = of.when(M::Status, || record.status());
    object.number(member_name!("status"), status.map(|status| status.as_u16()));
    object.number(member_name!("grpc_status"), of.when(M::GrpcStatus, || record.grpc_status()));
    object.text(member_name!("refusal"), of.when(M::Refusal, || record.refusal()));
    object.text(member_name!("limit"), of.when(M::Limit, || record.limit()));
    object.text(member_name!("limit_shadow"), of.when(M::LimitShadow, || record.limit_shadow()));
    let cache = of.when(M::Cache, || record.cache());
    object.plain(member_name!("cache"), cache.map(CacheOutcome::as_str));
    let outcome = of.when(M::Outcome, || Some(record.outcome().as_str()));
    object.plain(member_name!("outcome"), outcome);
    object.number(member_name!("bytes_in"), of.when(M::BytesIn, || Some(record.bytes_in())));
    object.number(member_name!("bytes_out"), of.when(M::BytesOut, || Some(record.bytes_out())));
    let time = of.when(M::HeadUs, || record.head_after());
    object.number(member_name!("head_us"), time.map(microseconds));
    let time = of.when(M::FirstByteUs, || record.first_byte_after());
    object.number(member_name!("first_byte_us"), time.map(microseconds));
    let time = of.when(M::FirstTokenUs, || record.first_token_after());
    object.number(member_name!("first_token_us"), time.map(microseconds));
    let time = of.when(M::UpstreamUs, || record.upstream_time());
    object.number(member_name!("upstream_us"), time.map(microseconds));
    let time = of.when(M::TotalUs, || Some(record.total()));
    object.number(member_name!("total_us"), time.map(microseconds));
    object.text(member_name!("upstream"), of.when(M::Upstream, || record.upstream()));
    let status = of.when(M::UpstreamStatus, || record.upstream_status());
    object.number(member_name!("upstream_status"), status.map(|status| status.as_u16()));
    let id = of.when(M::UpstreamRequestId, || record.upstream_request_id());
    object.text(member_name!("upstream_request_id"), id);
    let attempts = of.when(M::Attempts, || Some(record.attempts()));
    object.number(member_name!("attempts"), attempts.filter(|attempts| *attempts > 0));
    if has_attempt_list(of, record) {
        object.push(member_name!("attempt_list"));
        attempt_list(object, of, record);
    }
    object.text(member_name!("model"), of.when(M::Model, || record.model()));
    object.text(member_name!("model_target"), of.when(M::ModelTarget, || record.model_target()));
    if of.has_any(M::PromptTokens, M::ReasoningTokens)
        && let Some(usage) = record.usage()
    {
        object.push(member_name!("usage"));
        let start = object.open();
        let tokens = of.when(M::PromptTokens, || usage.prompt_tokens);
        object.number(member_name!("prompt_tokens"), tokens);
        let tokens = of.when(M::CompletionTokens, || usage.completion_tokens);
        object.number(member_name!("completion_tokens"), tokens);
        let tokens = of.when(M::TotalTokens, || usage.total_tokens);
        object.number(member_name!("total_tokens"), tokens);
        let tokens = of.when(M::CachedTokens, || usage.cached_tokens);
        object.number(member_name!("cached_tokens"), tokens);
        let tokens = of.when(M::CacheWriteTokens, || usage.cache_write_tokens);
        object.number(member_name!("cache_write_tokens"), tokens);
        let tokens = of.when(M::ReasoningTokens, || usage.reasoning_tokens);
        object.number(member_name!("reasoning_tokens"), tokens);
        object.close(start);
    }
    let end = of.when(M::StreamEnd, || record.stream_end());
    object.plain(member_name!("stream_end"), end.map(StreamEnd::as_str));
    if let Some(decisions) = of.when(M::Decisions, || decisions(record)) {
        object.plain(member_name!("decisions"), Some(&decisions));
    }
    if of.has(M::Values) {
        record::added_values(object, record);
    }
    sample_rate(object, record);
}

/// Returns the decisions of the layers, whose text needs no escapes.
pub(crate) fn decisions(record: &Record<'_>) -> Option<String> {
    let decisions = record.decisions();
    (!decisions.is_empty()).then(|| decisions.to_string())
}

/// Passes the line with the members by default to `take`. Most lines fit on the stack.
pub(crate) fn line(record: &Record<'_>, take: impl FnOnce(&[u8])) {
    let mut object = JsonObject::default();
    let start = object.open();
    write(&mut object, Members::DEFAULT, record);
    object.close(start);
    take(object.written());
}
