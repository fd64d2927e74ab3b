use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};
use http_body::Body;

use super::headers::BodyHeaders;
use crate::{
    context::{BodyMode, RequestContext},
    memory_limit::{MemoryLimit, MemoryPermit},
    payload::{
        body::{bounded::BodyLimits, buffered::BufferedBody, framing::set_framing},
        coding::decoder::Coding,
        content_type::{Charset, check_charset, json_required},
        error::PayloadError,
        json::{bounds::DocumentBounds, error::DocumentError},
    },
    rejection::Rejection,
};

/// The settings for reading and checking bodies.
#[derive(Clone, Debug)]
pub(crate) struct ReadSettings {
    pub(crate) mode: ReadMode,
    pub(crate) decompress: bool,
    pub(crate) limits: BodyLimits,
    pub(crate) bounds: DocumentBounds,
    pub(crate) memory: MemoryLimit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadMode {
    Json,
    Bytes,
    Streamed,
    /// As the route of the request requires.
    ByRoute,
    /// Makes a payload of the body and reads and bounds nothing.
    Off,
}

impl ReadSettings {
    /// Returns the settings for a request, whose route may decide the mode.
    pub(crate) fn of_request(&self, context: &RequestContext) -> Cow<'_, Self> {
        if self.mode != ReadMode::ByRoute {
            return Cow::Borrowed(self);
        }
        let mode = match context.body_mode() {
            BodyMode::Json => ReadMode::Json,
            BodyMode::Bytes => ReadMode::Bytes,
            BodyMode::Streamed => ReadMode::Streamed,
        };
        Cow::Owned(Self { mode, ..self.clone() })
    }

    pub(crate) const fn max_body_bytes(&self) -> u64 {
        self.limits.max_bytes
    }

    pub(crate) fn permit(&self) -> MemoryPermit {
        self.memory.permit()
    }

    /// Whether the document is parsed in steps before the inner service is called. This also
    /// applies to modes that need no document, because an inner layer would parse it in one step.
    pub(crate) fn parses_in_steps(&self, buffered: &BufferedBody) -> bool {
        let begins = |bytes: &[u8]| matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        buffered.is_unparsed_beyond(PARSE_STEP)
            && (self.mode == ReadMode::Json || begins(buffered.bytes()))
    }

    /// Checks the head of a request.
    pub(crate) fn check_head<B: Body>(
        &self,
        parts: &Parts,
        headers: &BodyHeaders<'_>,
        body: &B,
    ) -> Result<BodyHead, Rejection> {
        let declared = headers.length();
        let announced = declared.unwrap_or(0).max(body.size_hint().lower());
        if announced > self.limits.max_bytes {
            return Err(PayloadError::TooLarge(Some(self.limits.max_bytes)).rejection());
        }
        let coded = headers.coded;
        let coding = match self.mode {
            ReadMode::Json | ReadMode::Bytes => coded.check(&parts.headers, self.decompress)?,
            ReadMode::Streamed | ReadMode::ByRoute | ReadMode::Off => None,
        };
        let charset = headers.charset_of_json();
        let mistyped = self.mode == ReadMode::Json && charset.is_none();
        let bodiless = is_bodiless(&parts.method);
        if mistyped && (announced > 0 || !bodiless) {
            return Err(json_required());
        }
        let framed = declared == Some(announced) && !coded.transfer;
        Ok(BodyHead { announced, framed, coding, mistyped, charset, bodiless })
    }

    /// Checks the whole body of a request.
    pub(crate) fn check_body(
        &self,
        buffered: &Arc<BufferedBody>,
        head: &BodyHead,
        context: &RequestContext,
    ) -> Result<(), Rejection> {
        check_charset(head.charset, buffered.bytes())?;
        if self.mode != ReadMode::Json {
            return Ok(());
        }
        let document = match buffered.document_within(self.bounds) {
            Ok(document) => document,
            Err(DocumentError::Empty) if head.bodiless => return Ok(()),
            Err(error) => return Err(error.rejection()),
        };
        if context.model().is_none() {
            let model = document.root().get("model").and_then(|model| model.as_str());
            if let Some(model) = model.filter(|model| model.len() <= MAX_MODEL) {
                context.set_model(model);
            }
        }
        Ok(())
    }

    /// Creates a payload. `memory` has taken its size.
    pub(crate) fn buffer(
        &self,
        bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
        memory: MemoryPermit,
        context: &RequestContext,
    ) -> Arc<BufferedBody> {
        let buffered = Arc::new(BufferedBody::new(bytes, trailers, self.bounds, Some(memory)));
        context.remember_payload(Arc::<BufferedBody>::downgrade(&buffered));
        buffered
    }
}

/// Bytes of a document that are parsed until the task yields.
pub(crate) const PARSE_STEP: usize = 256 * 1024;

/// Longer model names are not recorded. No known model has one.
const MAX_MODEL: usize = 256;

/// Facts about the body from the head of its request.
pub(crate) struct BodyHead {
    /// The declared size, which the client may exceed.
    pub(crate) announced: u64,
    /// The request has this size as its `content-length` and has no `transfer-encoding`.
    framed: bool,
    /// The coding that is decoded.
    pub(crate) coding: Option<Coding>,
    /// The type is not JSON. This is an error only if the body has bytes, because an absent body
    /// needs no type.
    pub(crate) mistyped: bool,
    /// The charset if the type is JSON.
    charset: Option<Charset>,
    /// The method needs no body.
    pub(crate) bodiless: bool,
}

impl BodyHead {
    /// Sets the framing headers unless they are right already.
    pub(crate) fn set_framing(&self, headers: &mut HeaderMap, buffered: &BufferedBody) {
        if !self.framed || self.announced != buffered.bytes().len() as u64 {
            set_framing(headers, buffered);
        }
    }
}

/// Whether a request of this method needs no body (RFC 9110 section 9.3).
pub(crate) fn is_bodiless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
}
