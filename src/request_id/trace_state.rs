//! The header `tracestate` (W3C Trace Context section 3.3).

use http::{HeaderMap, HeaderValue};

use super::inbound::TRACESTATE;

/// Members of a list (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;
/// Characters that every participant must pass on (section 3.3.1.5).
const MAX_LENGTH: usize = 512;
/// Members that are longer are cut first (section 3.3.1.5).
const LONG: usize = 128;

/// The state that goes on with a trace.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum TraceState {
    /// The header stays as it is.
    Kept,
    Changed(HeaderValue),
    /// There is none, or it is not valid.
    Dropped,
}

/// Reads the state. Several headers are joined. Whole members are cut: beyond 32 from the end, beyond 512
/// characters first those with more than 128, then from the end. A list with a member that is not valid
/// is dropped as a whole.
pub(super) fn read(headers: &HeaderMap) -> TraceState {
    let Some(mut members) = members(headers) else { return TraceState::Dropped };
    while length(&members) > MAX_LENGTH {
        let long = members.iter().rposition(|member| member.len() > LONG);
        let last = members.len().saturating_sub(1);
        members.remove(long.unwrap_or(last));
    }
    if members.is_empty() {
        return TraceState::Dropped;
    }
    let state = members.join(",");
    let mut fields = headers.get_all(TRACESTATE).iter();
    if fields.next().is_some_and(|first| *first == state) && fields.next().is_none() {
        return TraceState::Kept;
    }
    HeaderValue::from_str(&state).map_or(TraceState::Dropped, TraceState::Changed)
}

/// Returns the first members of the list. `None` when one is not valid.
fn members(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut members: Vec<&str> = Vec::new();
    for field in headers.get_all(TRACESTATE) {
        for member in field.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            // An empty member is allowed and means nothing.
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) {
                return None;
            }
            // A key occurs once. The first one is the latest.
            let is_known =
                members.iter().any(|own| own.split_once('=').is_some_and(|(own, _)| own == key));
            if !is_known && members.len() < MAX_MEMBERS {
                members.push(member);
            }
        }
    }
    Some(members)
}

/// Returns the length of the joined list.
fn length(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

/// Returns whether a key is one of a single system or of a tenant of a system (section 3.3.1.3.1).
fn is_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize| {
        (1..=longest).contains(&part.len())
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
            })
    };
    let starts_low = |part: &str| part.starts_with(|first: char| first.is_ascii_lowercase());
    match key.split_once('@') {
        None => is_part(key, 256) && starts_low(key),
        Some((tenant, system)) => {
            let starts = tenant.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            is_part(tenant, 241) && starts && is_part(system, 14) && starts_low(system)
        }
    }
}

/// Returns whether a value is printable and does not end in a space (section 3.3.1.3.2).
fn is_value(value: &str) -> bool {
    let is_legal = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=' && byte != b',';
    value.len() <= 256 && value.bytes().all(is_legal) && !value.ends_with(' ')
}
