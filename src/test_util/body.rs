use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error_debug::debug_as_message;

/// The body of a [`TestResponse`](super::TestResponse) and of the responses of an issuer.
#[derive(Debug, Default)]
pub struct TestBody {
    frames: VecDeque<Bytes>,
    end: TestEnd,
}

/// The end of a body after its frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum TestEnd {
    #[default]
    Complete,
    Fails,
    Stalls,
}

impl TestBody {
    pub(super) fn new(frames: impl IntoIterator<Item = Bytes>, end: TestEnd) -> Self {
        let frames = frames.into_iter().filter(|frame| !frame.is_empty());
        Self { frames: frames.collect(), end }
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = TestFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TestFault>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match self.end {
            TestEnd::Complete => Poll::Ready(None),
            TestEnd::Fails => {
                self.end = TestEnd::Complete;
                Poll::Ready(Some(Err(TestFault::Body)))
            }
            TestEnd::Stalls => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.end == TestEnd::Complete
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.frames.iter().map(|frame| frame.len() as u64).sum();
        match self.end {
            TestEnd::Complete if self.frames.len() < 2 => SizeHint::with_exact(bytes),
            // The length of a stream is not known before its end.
            _ => SizeHint::default(),
        }
    }
}

/// A scripted fault of a [`TestUpstream`](super::TestUpstream).
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum TestFault {
    /// The connection could not be made, as scripted by
    /// [`TestResponse::unreachable`](super::TestResponse::unreachable).
    Unreachable,
    /// The body failed, as scripted by [`TestResponse::then_fails`](super::TestResponse::then_fails).
    Body,
}

impl fmt::Display for TestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the scripted upstream is unreachable",
            Self::Body => "the scripted body failed",
        })
    }
}

debug_as_message!(TestFault);

impl Error for TestFault {}
