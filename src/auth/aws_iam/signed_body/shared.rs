//! A body that the verifier of its signature and the inner service share.

use std::{error::Error, future::poll_fn, mem, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body::{Body as _, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::{
    lock::Lock,
    memory_limit::{MemoryLimit, MemoryPermit},
    payload::CollectedBody,
    rejection::{Refusal, Rejection},
    sha256::{Digest, Hasher},
};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type BoxedBody = UnsyncBoxBody<Bytes, BoxError>;

/// The bounds of a body that is read to verify its signature.
#[derive(Clone, Debug)]
pub(super) struct ReadBounds {
    pub(super) max_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) memory: MemoryLimit,
}

/// The body of a request with a signature, as the outermost layer received it.
pub(crate) struct SharedBody {
    uri: Uri,
    starts_empty: bool,
    bounds: ReadBounds,
    state: Lock<BodyState>,
}

pub(super) enum BodyState {
    /// Nobody has read from it.
    Unread(BoxedBody),
    /// Its digest is checked while it is read.
    Promised(BoxedBody, Digest),
    /// It was read as a whole.
    Buffered(Bytes, Digest),
    /// It is being read or was read.
    Taken,
}

/// The start of reading a whole body.
enum Buffering {
    Unread(BoxedBody),
    /// It was read before.
    Read(Digest),
}

/// The reason why the digest of a body cannot be known.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// Another layer has read the body.
    Taken,
    /// The body has another digest.
    Mismatch,
    /// The body is beyond a bound or broke off.
    Unreadable(Rejection),
}

impl SharedBody {
    pub(super) fn new(uri: Uri, body: BoxedBody, bounds: ReadBounds) -> Self {
        let starts_empty = body.is_end_stream();
        Self { uri, starts_empty, bounds, state: Lock::new(BodyState::Unread(body)) }
    }

    /// Returns the URI of the request at the outermost layer. A router may have cut its path since.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns whether the request has no body.
    pub(crate) const fn starts_empty(&self) -> bool {
        self.starts_empty
    }

    /// Makes the body end as an error unless it has this digest.
    pub(crate) fn promise(&self, digest: Digest) -> Result<(), BodyFault> {
        if self.starts_empty {
            return if digest == Digest::EMPTY { Ok(()) } else { Err(BodyFault::Mismatch) };
        }
        let mut state = self.state.lock();
        match mem::replace(&mut *state, BodyState::Taken) {
            BodyState::Unread(body) => {
                *state = BodyState::Promised(body, digest);
                Ok(())
            }
            other => {
                let result = match &other {
                    BodyState::Promised(_, known) | BodyState::Buffered(_, known) => {
                        if *known == digest { Ok(()) } else { Err(BodyFault::Mismatch) }
                    }
                    BodyState::Unread(_) | BodyState::Taken => Err(BodyFault::Taken),
                };
                *state = other;
                result
            }
        }
    }

    /// Reads the whole body and returns its digest. Dropping the future loses the body.
    pub(crate) async fn buffer(self: Arc<Self>) -> Result<Digest, BodyFault> {
        if self.starts_empty {
            return Ok(Digest::EMPTY);
        }
        let body = match self.start_buffering()? {
            Buffering::Read(digest) => return Ok(digest),
            Buffering::Unread(body) => body,
        };
        let timeout = self.bounds.timeout;
        let read = match tokio::time::timeout(timeout, self.bounds.collect(body)).await {
            Ok(read) => read,
            Err(_elapsed) => Err(beyond(
                Refusal::PayloadTimeout,
                "SignedBodyLayer::body_timeout",
                format!("the request body did not arrive within {timeout:?}"),
            )),
        };
        let (data, digest) = read.map_err(BodyFault::Unreadable)?;
        *self.state.lock() = BodyState::Buffered(data, digest);
        Ok(digest)
    }

    /// Takes the body to read it. Nothing is polled under the lock.
    fn start_buffering(&self) -> Result<Buffering, BodyFault> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, BodyState::Taken) {
            BodyState::Unread(body) => Ok(Buffering::Unread(body)),
            BodyState::Buffered(data, digest) => {
                *state = BodyState::Buffered(data, digest);
                Ok(Buffering::Read(digest))
            }
            other => {
                *state = other;
                Err(BodyFault::Taken)
            }
        }
    }

    /// Hands the body to its reader.
    pub(super) fn take(&self) -> BodyState {
        mem::replace(&mut *self.state.lock(), BodyState::Taken)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match &*self.state.lock() {
            BodyState::Unread(body) => body.is_end_stream(),
            BodyState::Buffered(data, _) => data.is_empty(),
            // The digest is not checked yet.
            BodyState::Promised(..) => false,
            BodyState::Taken => self.starts_empty,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &*self.state.lock() {
            BodyState::Unread(body) | BodyState::Promised(body, _) => body.size_hint(),
            BodyState::Buffered(data, _) => SizeHint::with_exact(data.len() as u64),
            BodyState::Taken => SizeHint::default(),
        }
    }
}

impl Default for ReadBounds {
    fn default() -> Self {
        Self {
            max_bytes: 10 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            memory: MemoryLimit::new(256 << 20),
        }
    }
}

impl ReadBounds {
    /// Frames until the task yields.
    const MAX_STEPS: usize = 64;

    /// Reads a body to its end and hashes it as it arrives. The permit of its memory is tied to the
    /// bytes.
    async fn collect(&self, mut body: BoxedBody) -> Result<(Bytes, Digest), Rejection> {
        let announced = body.size_hint().lower();
        self.check(announced)?;
        let mut memory: MemoryPermit = self.memory.permit();
        let (mut collected, mut hasher) = (CollectedBody::default(), Hasher::default());
        let (mut length, mut steps) = (0_u64, 0);
        loop {
            let frame = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => break,
                Some(Err(error)) => {
                    return Err(crate::payload::PayloadError::from(error).rejection());
                }
                Some(Ok(frame)) => frame,
            };
            // Trailers are not signed.
            if let Ok(data) = frame.into_data() {
                length = length.saturating_add(data.len() as u64);
                self.check(length)?;
                hasher.update(&data);
                collected.push(data, announced, &mut memory)?;
            }
            steps += 1;
            if steps % Self::MAX_STEPS == 0 {
                tokio::task::yield_now().await;
            }
        }
        let data = collected.into_bytes(&mut memory);
        Ok((memory.guard(data), hasher.finish()))
    }

    fn check(&self, length: u64) -> Result<(), Rejection> {
        let max = self.max_bytes;
        if length <= max {
            return Ok(());
        }
        Err(beyond(
            Refusal::PayloadTooLarge,
            "SignedBodyLayer::max_body_bytes",
            format!(
                "the request body exceeds the limit of {max} bytes without `x-amz-content-sha256`"
            ),
        ))
    }
}

/// Returns the rejection of a body beyond a bound. Only the log names the setter.
fn beyond(refusal: Refusal, setter: &str, detail: String) -> Rejection {
    tracing::debug!(setter, "request rejected: {detail}");
    Rejection::new(refusal).with_detail(detail)
}
