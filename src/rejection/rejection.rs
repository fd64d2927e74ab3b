use std::{borrow::Cow, time::Duration};

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use super::{refusal::Refusal, violation::Violation};
use crate::memory_limit::MemoryExhausted;

/// An error response before it is rendered: a [`Refusal`] with the details of one request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    refusal: Refusal,
    // Boxed to keep every `Result` with a rejection small.
    details: Box<Details>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Details {
    text: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<Duration>,
    position: Option<u64>,
    violations: Vec<Violation>,
}

impl Rejection {
    /// Creates a rejection. Its detail is the title of the refusal.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        let details = Details { text: Cow::Borrowed(refusal.title()), ..Details::default() };
        Self { refusal, details: Box::new(details) }
    }

    /// Sets the message for people. It must not contain a token, a prompt or a value of the request.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.details.text = detail.into();
        self
    }

    /// Sets how long the client should wait before the next attempt.
    ///
    /// The header `retry-after` has whole seconds, rounded up and at least 1. A client that obeys it
    /// is never too early.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.details.retry_after = Some(after);
        self
    }

    /// Adds a header to the response, such as `www-authenticate` or `accept`. Every format sends it.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.details.headers.push((name, value));
        self
    }

    /// Sets the byte of the body at which parsing failed.
    #[must_use]
    pub fn with_position(mut self, byte: u64) -> Self {
        self.details.position = Some(byte);
        self
    }

    /// Sets the members or parameters that are not valid.
    ///
    /// The first violation becomes the detail, because most clients show nothing else:
    /// `/n: must be at most 4`. Call [`with_detail`](Self::with_detail) afterwards for another text.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        if let Some(first) = violations.first() {
            self.details.text = Cow::Owned(first.to_string());
        }
        self.details.violations = violations;
        self
    }

    /// Returns the reason.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// Returns the message for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.details.text
    }

    /// Returns how long the client should wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.details.retry_after
    }

    /// Returns the byte of the body at which parsing failed.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.details.position
    }

    /// Returns the members or parameters that are not valid.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.details.violations
    }

    /// Returns the headers that this rejection adds, `retry-after` included.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let retry_after = self.details.retry_after.map(|after| {
            let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            (RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        });
        self.details.headers.iter().cloned().chain(retry_after)
    }
}

impl From<MemoryExhausted> for Rejection {
    fn from(_: MemoryExhausted) -> Self {
        Self::new(Refusal::Overloaded)
            .with_detail("the memory for bodies is used up; send a smaller body or try again later")
            .with_retry_after(Duration::from_secs(1))
    }
}
