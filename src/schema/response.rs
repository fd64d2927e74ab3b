use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, response::Parts};

use super::{ResponseBody, Schema};
use crate::{
    body::{content_length, is_coded},
    context::RequestContext,
    memory_limit::{MemoryExhausted, MemoryLimit, MemoryPermit},
    payload::{Collected, Document, Malformed, says_json},
    rejection::{Refusal, Rejection, Responder, Violation},
};

const TARGET: &str = "tower_inference::schema";

/// What answers must be, and what becomes of one that is not.
///
/// Looked at are answers of a 2xx status that say they are JSON in UTF-8. Others pass: errors,
/// event streams, what has no body (to HEAD, 204, 205) or a part of one (206).
#[derive(Clone, Debug)]
pub struct ResponseSchema {
    schema: Schema,
    mode: Mode,
    limit: u64,
    deadline: Duration,
    memory: MemoryLimit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Report,
    Refuse,
}

impl ResponseSchema {
    /// Lets every answer flow as it comes, and says in the log when it broke the schema.
    ///
    /// A copy is kept until its end. Nothing is said of an answer that fails, or that its reader
    /// leaves, before that.
    #[must_use]
    pub fn report(schema: Schema) -> Self {
        Self::of(schema, Mode::Report)
    }

    /// Holds the head of an answer back until all of its body is there, and refuses it with 502
    /// `invalid-upstream-response` if it breaks the schema. The log says how: the caller can do
    /// nothing about it.
    ///
    /// Ranges are not asked for: the request goes on without `range` and `if-range`. An answer that
    /// cannot be checked, because it is coded or longer than the limit, is refused as
    /// well. One that fails half-way is a 502 `upstream-unavailable`, one that takes too long a 504
    /// `upstream-timeout`.
    #[must_use]
    pub fn refuse(schema: Schema) -> Self {
        Self::of(schema, Mode::Refuse)
    }

    /// Sets how many bytes of an answer are kept at most: 10 MiB by default. A longer one is refused,
    /// or the log says that it was not checked.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets the limit of memory that all responses share while they are kept: 256 MiB by default,
    /// for this value and its clones.
    ///
    /// Beyond it a response is refused with 503 `overloaded`, or the log says that it was not
    /// checked. A limit that is also given to others, such as
    /// [`PayloadLayer::memory_limit`](crate::payload::PayloadLayer::memory_limit), holds for all of
    /// them together.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory = limit;
        self
    }

    /// Sets how long a response may be held back, from when its body is first waited for. Defaults to
    /// five minutes, as the upstream's own deadlines do: a model that reasons sends its head, and then
    /// blank lines until it is done. Counts for [`refuse`](Self::refuse) alone.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn must_be_whole(&self) -> bool {
        self.mode == Mode::Refuse
    }

    fn of(schema: Schema, mode: Mode) -> Self {
        let (limit, deadline) = (10 * 1024 * 1024, Duration::from_secs(5 * 60));
        let memory = MemoryLimit::new(256 * 1024 * 1024);
        Self { schema, mode, limit, deadline, memory }
    }
}

/// What is expected of one answer.
pub(super) struct Expectation {
    schema: ResponseSchema,
    pub(super) method: Method,
    responder: Responder,
    context: RequestContext,
}

/// What to do with an answer, by its head.
pub(super) enum Plan {
    /// It is none of those that are looked at.
    Pass,
    /// Keep a copy of what flows.
    Copy,
    /// Hold it back.
    Hold,
    Refuse(Fault),
}

impl Expectation {
    pub(super) const fn new(
        schema: ResponseSchema,
        method: Method,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { schema, method, responder, context }
    }

    pub(super) fn kept(&self, headers: &HeaderMap) -> Kept {
        let announced = content_length(headers).unwrap_or(0);
        let memory = self.schema.memory.permit();
        Kept { collected: Collected::default(), announced, left: self.limit(), memory }
    }

    const fn limit(&self) -> u64 {
        self.schema.limit
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.schema.deadline
    }

    pub(super) fn plan(&self, head: &Parts) -> Plan {
        if !has_whole_body(head.status) || !says_json(&head.headers) {
            return Plan::Pass;
        }
        let readable = if is_coded(&head.headers) {
            Err(Fault::Coded)
        } else if content_length(&head.headers).is_some_and(|length| length > self.limit()) {
            Err(Fault::TooLong)
        } else {
            Ok(())
        };
        match (self.schema.mode, readable) {
            (Mode::Report, Ok(())) => Plan::Copy,
            (Mode::Refuse, Ok(())) => Plan::Hold,
            (Mode::Report, Err(fault)) => {
                self.log(&fault);
                Plan::Pass
            }
            (Mode::Refuse, Err(fault)) => Plan::Refuse(fault),
        }
    }

    /// Checks a whole answer.
    pub(super) fn check(&self, body: Bytes) -> Result<(), Fault> {
        let document = Document::parse(body).map_err(Fault::Malformed)?;
        if self.schema.schema.is_valid(&document) {
            return Ok(());
        }
        Err(Fault::Broken(self.schema.schema.violations(&document)))
    }

    /// The refusal of an answer, which the log says more of.
    pub(super) fn fault(&self, fault: &Fault) -> Rejection {
        self.log(fault);
        fault.rejection()
    }

    pub(super) fn refused<B>(&self, rejection: Rejection) -> Response<ResponseBody<B>> {
        self.responder.respond(rejection, &self.context).map(ResponseBody::new)
    }

    pub(super) fn log(&self, fault: &Fault) {
        tracing::warn!(
            target: TARGET,
            request_id = self.context.request_id(),
            route = self.context.route(),
            refused = self.schema.mode == Mode::Refuse,
            %fault,
            "an answer is not held to its schema",
        );
    }
}

/// The bytes of an answer, up to the limit.
pub(super) struct Kept {
    collected: Collected,
    announced: u64,
    left: u64,
    memory: MemoryPermit,
}

impl Kept {
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Fault> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(Fault::TooLong)?;
        let pushed = self.collected.push(data, self.announced, &mut self.memory);
        pushed.map_err(|MemoryExhausted| Fault::Exhausted)
    }

    /// All of it, with the permit for its memory.
    pub(super) fn into_bytes(mut self) -> (Bytes, MemoryPermit) {
        (self.collected.into_bytes(&mut self.memory), self.memory)
    }
}

/// Why an answer is not as it must be, or why that is not known.
pub(super) enum Fault {
    Coded,
    TooLong,
    /// The memory limit has no room for it.
    Exhausted,
    Malformed(Malformed),
    Broken(Vec<Violation>),
}

impl Fault {
    fn rejection(&self) -> Rejection {
        let rejection = Rejection::new(Refusal::InvalidUpstreamResponse);
        match self {
            Self::Coded => rejection.with_detail("the upstream's answer is coded, and not checked"),
            Self::TooLong => rejection.with_detail("the upstream's answer is too long"),
            Self::Exhausted => MemoryExhausted.into(),
            Self::Malformed(_) => rejection.with_detail("the upstream's answer is not strict JSON"),
            Self::Broken(_) => rejection,
        }
    }
}

/// For the log: without values.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => f.write_str("has a content coding"),
            Self::TooLong => f.write_str("is too long"),
            Self::Exhausted => f.write_str("finds no memory left"),
            Self::Malformed(malformed) => write!(f, "is not strict JSON: {malformed}"),
            Self::Broken(violations) => {
                f.write_str("breaks its schema")?;
                for (at, violation) in violations.iter().enumerate() {
                    let between = if at == 0 { ":" } else { ";" };
                    let Violation { pointer, keyword, detail } = violation;
                    write!(f, "{between} {pointer:?} {keyword}: {detail}")?;
                }
                Ok(())
            }
        }
    }
}

fn has_whole_body(status: StatusCode) -> bool {
    let without = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
    );
    status.is_success() && !without
}
