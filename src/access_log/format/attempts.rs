//! Writes the attempts of a request one by one.

use super::members::{Member as M, Members};
use crate::{
    context::AbandonReason,
    json_object::{JsonObject, member_name, microseconds},
    record::Record,
};

/// As many attempts as a line has. The member `attempts` has the number of all.
const MAX_ATTEMPTS: usize = 16;

/// Returns whether a line has the list. The other members say all about a single attempt.
#[inline]
pub(super) fn has_attempt_list(of: Members, record: &Record<'_>) -> bool {
    of.has_any(M::AttemptTarget, M::AttemptAbandoned) && record.attempt_list().nth(1).is_some()
}

/// Writes the list after its name.
#[cold]
pub(super) fn attempt_list(object: &mut JsonObject, of: Members, record: &Record<'_>) {
    for (place, attempt) in record.attempt_list().take(MAX_ATTEMPTS).enumerate() {
        object.push(if place == 0 { b"[" } else { b"," });
        let start = object.open();
        let target = of.when(M::AttemptTarget, || attempt.target.as_deref());
        object.text(member_name!("target"), target.map(|target| record.text(target)));
        let upstream = of.when(M::AttemptUpstream, || attempt.upstream.as_deref());
        object.text(member_name!("upstream"), upstream.map(|upstream| record.text(upstream)));
        let status = of.when(M::AttemptStatus, || attempt.status);
        object.number(member_name!("status"), status.map(|status| status.as_u16()));
        let id = of.when(M::AttemptUpstreamRequestId, || attempt.upstream_request_id.as_deref());
        object.text(member_name!("upstream_request_id"), id.map(|id| record.text(id)));
        let time = of.when(M::AttemptStartedUs, || attempt.started_after);
        object.number(member_name!("started_us"), time.map(microseconds));
        let time = of.when(M::AttemptDurationUs, || attempt.duration);
        object.number(member_name!("duration_us"), time.map(microseconds));
        let reason = of.when(M::AttemptAbandoned, || attempt.abandoned);
        object.plain(member_name!("abandoned"), reason.map(AbandonReason::as_str));
        object.close(start);
    }
    object.push(b"]");
}

/// Returns the list as JSON, because a field of an event has no members.
pub(crate) fn attempts_text(of: Members, record: &Record<'_>) -> Option<String> {
    if !has_attempt_list(of, record) {
        return None;
    }
    let mut list = JsonObject::default();
    attempt_list(&mut list, of, record);
    str::from_utf8(list.written()).ok().map(str::to_owned)
}
