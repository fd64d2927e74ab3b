//! Refusals: one vocabulary, and its renderings.
//!
//! A layer that refuses makes a [`Rejection`] and lets a [`Responder`] render it: as
//! `application/problem+json` (RFC 9457) that also carries the `error` member which OpenAI's and
//! Hugging Face's clients show; as API Gateway does; or, when the request was gRPC, as a
//! trailers-only status. The [`Rejection`] also travels in the response's extensions.
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Empty};
//! use std::time::Duration;
//! use tower_inference::{
//!     body::ResponseBody,
//!     context::RequestContext,
//!     rejection::{Refusal, RejectionFormat, Rejection},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let request = Request::new(());
//! let responder = RejectionFormat::Problem.for_request(&request);
//! let rejection = Rejection::new(Refusal::Throttled)
//!     .with_detail("at most 10 requests a second")
//!     .with_retry_after(Duration::from_millis(1_200));
//! let response: http::Response<ResponseBody<Empty<bytes::Bytes>>> =
//!     responder.respond(rejection, &RequestContext::new());
//!
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.headers()["retry-after"], "2");
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal(), Refusal::Throttled);
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
//! assert_eq!(body["type"], "urn:tower-inference:refusal:throttled");
//! assert_eq!(body["error"]["message"], "at most 10 requests a second");
//! # }
//! ```
//!
//! # Limits
//!
//! Details are for people: they name limits and members of the request, never values out of it.
//! A refusal after the head of an answer has been sent can only be a broken body.

mod refusal;
mod render;

use std::{borrow::Cow, fmt, time::Duration};

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

pub use self::{
    refusal::Refusal,
    render::{RejectionFormat, Responder},
};
use crate::memory_limit::MemoryExhausted;

/// A refusal together with what there is to say of this one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    refusal: Refusal,
    // Boxed, so that results which carry a rejection stay small.
    more: Box<More>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct More {
    detail: Cow<'static, str>,
    fields: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<Duration>,
    position: Option<u64>,
    violations: Vec<Violation>,
}

/// One place where a request is not as it must be. Displayed with its pointer:
/// `/n: must be at most 4`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// Where, as a JSON pointer (RFC 6901): into the body; with
    /// [`InvalidParameters`](Refusal::InvalidParameters) into an object of the parameters, so that
    /// `/query/limit` and `/header/x-tenant` lead to those of these names.
    pub pointer: String,
    /// The keyword of JSON Schema, or the name of the limit, that is broken there.
    pub keyword: Cow<'static, str>,
    /// What is wrong there, without the value.
    pub detail: String,
}

impl Violation {
    /// A violation of `keyword` at `pointer`.
    pub fn new(
        pointer: impl Into<String>,
        keyword: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), keyword: keyword.into(), detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A longer pointer holds names of the caller's making, and would be in the way: gRPC has the
        /// detail in a header.
        const LONGEST: usize = 256;
        let Self { pointer, detail, .. } = self;
        match pointer.len() {
            0 => write!(f, "the body: {detail}"),
            1..=LONGEST => write!(f, "{pointer}: {detail}"),
            _ => {
                // A pointer to where it is in is true still; one without its end is not.
                let start = pointer.char_indices().take_while(|(at, _)| *at <= LONGEST);
                let end = start.filter(|(_, char)| *char == '/').last().map_or(0, |(at, _)| at);
                let around = pointer.get(..end).filter(|around| !around.is_empty());
                write!(f, "somewhere in {}: {detail}", around.unwrap_or("the body"))
            }
        }
    }
}

impl Rejection {
    /// A rejection whose detail is the refusal's title.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        let more = More { detail: Cow::Borrowed(refusal.title()), ..More::default() };
        Self { refusal, more: Box::new(more) }
    }

    /// Says what went wrong this time. Must hold no token, prompt or value of the request.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.more.detail = detail.into();
        self
    }

    /// Says when to come back. Rendered in whole seconds, rounded up, at least one: a client that
    /// waits as told is not early.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.more.retry_after = Some(after);
        self
    }

    /// Adds a field to the answer (`www-authenticate`, `accept`, …), in every rendering.
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.fields.push((name, value));
        self
    }

    /// Says at which byte of the body it went wrong.
    #[must_use]
    pub fn with_position(mut self, byte: u64) -> Self {
        self.more.position = Some(byte);
        self
    }

    /// Says where the body is not as it must be, or which parameters are not.
    ///
    /// The first violation becomes the detail, because most clients show nothing else:
    /// `/n: must be at most 4`. Call [`with_detail`](Self::with_detail) afterwards to say something
    /// else.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        if let Some(first) = violations.first() {
            self.more.detail = Cow::Owned(first.to_string());
        }
        self.more.violations = violations;
        self
    }

    /// Why.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// What there is to say, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.more.detail
    }

    /// When to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.more.retry_after
    }

    /// At which byte of the body it went wrong.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.more.position
    }

    /// Where the body is not as it must be, or which parameters are not.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.more.violations
    }

    /// The fields of the answer that are this rejection's own, `retry-after` included.
    fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let retry_after = self.more.retry_after.map(|after| {
            let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            (RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        });
        self.more.fields.iter().cloned().chain(retry_after)
    }
}

impl From<MemoryExhausted> for Rejection {
    fn from(_: MemoryExhausted) -> Self {
        Self::new(Refusal::Overloaded)
            .with_detail("too many bodies are in memory; send a smaller one, or try again later")
            .with_retry_after(Duration::from_secs(1))
    }
}
