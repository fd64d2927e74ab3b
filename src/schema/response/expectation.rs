use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, response::Parts};

use super::{
    fault::ResponseFault,
    response_schema::{Enforcement, ResponseSchema},
};
use crate::{
    body::{self, content_length, is_coded},
    context::RequestContext,
    memory_limit::{MemoryExhausted, MemoryPermit},
    payload::{CollectedBody, Document, says_json},
    rejection::{Rejection, Responder},
};
use std::time::Duration;

const TARGET: &str = "tower_inference::schema";

/// The rules for one response.
pub(crate) struct Expectation {
    schema: ResponseSchema,
    pub(crate) method: Method,
    responder: Responder,
    context: RequestContext,
}

/// The treatment of a response, decided by its head.
pub(crate) enum ResponsePlan {
    /// The response is not checked.
    Pass,
    /// Check a copy while the response streams.
    Copy,
    /// Hold the response back.
    Hold,
    Reject(ResponseFault),
}

impl Expectation {
    pub(crate) const fn new(
        schema: ResponseSchema,
        method: Method,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { schema, method, responder, context }
    }

    pub(crate) fn copy(&self, headers: &HeaderMap) -> ResponseCopy {
        let announced = content_length(headers).unwrap_or(0);
        let memory = self.schema.memory.permit();
        ResponseCopy {
            collected: CollectedBody::default(),
            announced,
            left: self.max_bytes(),
            memory,
        }
    }

    const fn max_bytes(&self) -> u64 {
        self.schema.max_bytes
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.schema.timeout
    }

    pub(crate) fn plan(&self, head: &Parts) -> ResponsePlan {
        if !has_whole_body(head.status) || !says_json(&head.headers) {
            return ResponsePlan::Pass;
        }
        let readable = if is_coded(&head.headers) {
            Err(ResponseFault::Coded)
        } else if content_length(&head.headers).is_some_and(|length| length > self.max_bytes()) {
            Err(ResponseFault::TooLong)
        } else {
            Ok(())
        };
        match (self.schema.enforcement, readable) {
            (Enforcement::Report, Ok(())) => ResponsePlan::Copy,
            (Enforcement::Reject, Ok(())) => ResponsePlan::Hold,
            (Enforcement::Report, Err(fault)) => {
                self.log(&fault);
                ResponsePlan::Pass
            }
            (Enforcement::Reject, Err(fault)) => ResponsePlan::Reject(fault),
        }
    }

    /// Checks a complete response.
    pub(crate) fn check(&self, body: Bytes) -> Result<(), ResponseFault> {
        let document = Document::parse(body).map_err(ResponseFault::Malformed)?;
        if self.schema.schema.is_valid(&document) {
            return Ok(());
        }
        Err(ResponseFault::Broken(self.schema.schema.violations(&document)))
    }

    /// Logs the fault and returns its rejection. The log has more details.
    pub(crate) fn fault(&self, fault: &ResponseFault) -> Rejection {
        self.log(fault);
        fault.rejection()
    }

    pub(crate) fn rejected<B>(&self, rejection: Rejection) -> Response<body::ResponseBody<B>> {
        self.responder.respond(rejection, &self.context)
    }

    pub(crate) fn log(&self, fault: &ResponseFault) {
        tracing::warn!(
            target: TARGET,
            request_id = self.context.request_id(),
            route = self.context.route(),
            refused = self.schema.enforcement == Enforcement::Reject,
            %fault,
            "a response failed its schema check",
        );
    }
}

/// The bytes of a response up to the limit.
pub(crate) struct ResponseCopy {
    collected: CollectedBody,
    announced: u64,
    left: u64,
    memory: MemoryPermit,
}

impl ResponseCopy {
    pub(crate) fn push(&mut self, data: Bytes) -> Result<(), ResponseFault> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(ResponseFault::TooLong)?;
        let pushed = self.collected.push(data, self.announced, &mut self.memory);
        pushed.map_err(|MemoryExhausted| ResponseFault::Exhausted)
    }

    /// Returns all bytes and the permit for their memory.
    pub(crate) fn into_bytes(mut self) -> (Bytes, MemoryPermit) {
        (self.collected.into_bytes(&mut self.memory), self.memory)
    }
}

fn has_whole_body(status: StatusCode) -> bool {
    let without = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
    );
    status.is_success() && !without
}
