//! The attempts of a request in words: where it was sent, and why again.

use super::line::Line;
use crate::context::AbandonReason;

/// Returns a sentence about all attempts after one about each of several.
pub(super) fn sentences(line: &Line) -> Vec<String> {
    let attempts = line.attempts();
    let last = attempts.len().saturating_sub(1);
    let numbered = attempts.iter().enumerate();
    let mut sentences: Vec<_> =
        numbered.map(|(place, attempt)| sentence(attempt, place, place == last)).collect();
    sentences.extend(all(line));
    sentences
}

fn all(line: &Line) -> Option<String> {
    let attempts = line.number("attempts")?;
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    let upstream =
        line.text("upstream").map_or_else(|| "the upstream".to_owned(), |name| name + ",");
    let status = match line.number("upstream_status") {
        Some(status) => format!("the last response had status {status}"),
        None => "no response came".to_owned(),
    };
    let id = id(line);
    Some(format!("The request was sent {times}, at last to {upstream} and {status}{id}."))
}

fn sentence(attempt: &Line, place: usize, is_last: bool) -> String {
    let place = place + 1;
    let to = match (attempt.text("target"), attempt.text("upstream")) {
        (Some(target), Some(upstream)) => format!("to the target {target} at {upstream}"),
        (Some(target), None) => format!("to the target {target}"),
        (None, Some(upstream)) => format!("to {upstream}"),
        (None, None) => "to the upstream".to_owned(),
    };
    let got = match attempt.number("status") {
        Some(status) => format!("got status {status}"),
        None => "got no response".to_owned(),
    };
    let id = id(attempt);
    let after = attempt.time("duration_us").map_or(String::new(), |time| format!(" after {time}"));
    let why = match (attempt.text("abandoned"), is_last) {
        (Some(reason), _) => format!(". Another attempt followed: {}", abandon_reason(&reason)),
        (None, true) => String::new(),
        (None, false) => ". Another attempt followed, which a layer of the program sent".to_owned(),
    };
    format!("Attempt {place} {to} {got}{id}{after}{why}.")
}

/// Returns the id by which the upstream's operator finds the request.
fn id(line: &Line) -> String {
    let id = line.text("upstream_request_id");
    id.map_or(String::new(), |id| format!(" and the upstream's id {id}"))
}

/// Returns why an attempt was abandoned. A later version may have more reasons.
fn abandon_reason(name: &str) -> &str {
    match AbandonReason::ALL.iter().find(|reason| reason.as_str() == name) {
        Some(AbandonReason::TokenRejected) => "the upstream rejected the gateway's token",
        Some(AbandonReason::Unreachable) => {
            "there was no connection, or it ended before a response"
        }
        Some(AbandonReason::Status) => "the upstream is busy or has failed",
        Some(AbandonReason::Timeout) => "no content arrived in time",
        Some(AbandonReason::ErrorEvent) => "the stream reported an error before any content",
        Some(AbandonReason::Broken) => "the body broke off before any content",
        None => name,
    }
}
