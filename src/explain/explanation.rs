use std::fmt;

use super::{attempts, error::ExplainError, layers, line::Line, reasons::refusal_remedy};
use crate::record::RequestOutcome;

/// Explains a line of the JSON log.
///
/// # Errors
///
/// Returned when the line is no JSON object or no record.
pub fn explain(line: &str) -> Result<Explanation, ExplainError> {
    Line::parse(line).map(|line| Explanation::of(&line))
}

/// The words about one request. It displays one sentence in each line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    request_id: Option<String>,
    sentences: Vec<String>,
}

impl Explanation {
    pub(super) fn of(line: &Line) -> Self {
        let mut sentences = vec![request(line), caller(line)];
        sentences.extend(layers::sentences(line));
        sentences.extend(attempts::sentences(line));
        sentences.extend(tokens(line));
        sentences.push(end(line));
        sentences.extend(remedy(line));
        Self { request_id: line.text("request_id"), sentences }
    }

    /// Returns the id of the request, if the line has one. Its unprintable characters are escaped.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the sentences in their order.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.sentences.iter().map(String::as_str)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentences.iter().try_for_each(|sentence| writeln!(f, "{sentence}"))
    }
}

fn request(line: &Line) -> String {
    let text = |name: &str| line.text(name);
    let id = text("request_id").map_or(String::new(), |id| format!(" {id}"));
    let time = text("time").map_or(String::new(), |time| format!(" arrived at {time} and"));
    let method = text("method").unwrap_or_else(|| "an unknown method".to_owned());
    let path = text("path").unwrap_or_else(|| "an unknown path".to_owned());
    let model = text("model").map_or(String::new(), |model| format!(" with the model {model}"));
    format!("The request{id}{time} asked for {method} {path}{model}.")
}

fn caller(line: &Line) -> String {
    let (Some(subject), Some(issuer)) =
        (line.text("principal.subject"), line.text("principal.issuer"))
    else {
        return "The caller is not known: no layer had verified a credential.".to_owned();
    };
    let mut caller = format!("The caller is {subject} of {issuer}");
    for (name, words) in [
        ("principal.proof", ", proven by "),
        ("tenant", ", of the tenant "),
        ("credential_id", ", with the credential "),
    ] {
        if let Some(value) = line.text(name) {
            caller.push_str(words);
            caller.push_str(&value);
        }
    }
    caller.push('.');
    caller
}

fn tokens(line: &Line) -> Option<String> {
    let parts: Vec<_> = [
        ("usage.prompt_tokens", "of the prompt"),
        ("usage.cached_tokens", "of it cached by the upstream"),
        ("usage.cache_write_tokens", "of it written to the upstream's cache"),
        ("usage.completion_tokens", "of the completion"),
        ("usage.reasoning_tokens", "of it reasoning"),
    ]
    .into_iter()
    .filter_map(|(name, words)| Some(format!("{} {words}", line.number(name)?)))
    .collect();
    let who = match line.text("cache").as_deref() {
        Some("hit") => "The stored response reports",
        _ => "The upstream counted",
    };
    (!parts.is_empty()).then(|| format!("{who} these tokens: {}.", parts.join(", ")))
}

fn outcome(line: &Line) -> Option<RequestOutcome> {
    let name = line.text("outcome")?;
    RequestOutcome::ALL.iter().find(|outcome| outcome.as_str() == name).copied()
}

fn end(line: &Line) -> String {
    let how = match outcome(line) {
        Some(RequestOutcome::Complete) => "The response was passed on to its end",
        Some(RequestOutcome::Rejected) => "The request was rejected",
        Some(RequestOutcome::UpstreamError) => "The upstream failed",
        Some(RequestOutcome::TimedOut) => "A time limit passed",
        Some(RequestOutcome::Cancelled) => "The client left before the end",
        Some(RequestOutcome::Failed) => "The service failed without an upstream",
        Some(RequestOutcome::Panicked) => "The service panicked",
        None => "The request ended",
    };
    let status = match line.number("status") {
        Some(status) => format!(" with status {status}"),
        None => ", and no head of a response had passed".to_owned(),
    };
    let after = line.time("total_us").map_or(String::new(), |time| format!(" after {time}"));
    let bytes = line.number("bytes_out").unwrap_or_default();
    let stream = match line.text("stream_end").as_deref() {
        Some("failed") => " The stream reported an error inside a response of status 200.",
        Some("cut") => " The stream broke off without its end mark.",
        _ => "",
    };
    let head = line
        .time("head_us")
        .map_or(String::new(), |time| format!(" The head of the response came after {time}."));
    format!("{how}{status}{after}. The client received {bytes} bytes.{head}{stream}")
}

fn remedy(line: &Line) -> Option<String> {
    let remedy = match (line.refusal(), outcome(line)) {
        (Some(refusal), _) => refusal_remedy(refusal),
        (None, Some(RequestOutcome::UpstreamError)) => {
            "Look at the status and the logs of the upstream at this time. A fallback target can \
             serve requests that fail before their first content."
        }
        (None, Some(RequestOutcome::TimedOut)) => {
            "Compare the time with the timeouts of UpstreamLayer. Raise the one that passed, or \
             limit the output."
        }
        (None, Some(RequestOutcome::Cancelled)) => {
            "Compare the time with the timeout of the client. A client that waits for a whole \
             response leaves less often if it streams."
        }
        (None, Some(RequestOutcome::Failed)) => {
            "Look for an error of the service or of the client's connection at this time."
        }
        (None, Some(RequestOutcome::Panicked)) => {
            "Look for the message of the panic in the program's log at this time. A panic is a bug."
        }
        _ => return unknown_refusal(line),
    };
    Some(format!("What you can do: {remedy}"))
}

/// A later version may have more refusals.
fn unknown_refusal(line: &Line) -> Option<String> {
    let slug = line.text("refusal")?;
    Some(format!("This version does not know the refusal {slug}."))
}
