use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    body::{BodyEnd, Watch as _},
    context::{RequestContext, StreamEnd, Usage},
    tap::Tap,
};

/// The results of the tap that has read a response. A hit has them without reading it again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ResponseFacts {
    usage: Option<Usage>,
    tokens: u64,
    least_tokens: u64,
    stream_end: Option<StreamEnd>,
}

impl ResponseFacts {
    /// Returns the results of the tap with this context.
    pub(crate) fn of(context: &RequestContext) -> Self {
        Self {
            usage: context.usage(),
            tokens: context.generated_tokens(),
            least_tokens: context.least_generated_tokens(),
            stream_end: context.stream_end(),
        }
    }

    /// Reads a whole response.
    pub(crate) fn read<'a>(
        status: StatusCode,
        headers: &HeaderMap,
        chunks: impl Iterator<Item = &'a Bytes>,
    ) -> Self {
        let context = RequestContext::new();
        if let Some(mut tap) = Tap::claim(&context, status, headers) {
            chunks.for_each(|chunk| tap.data(chunk));
            tap.end(BodyEnd::Complete);
        }
        Self::of(&context)
    }

    /// Records the results in the context of a request that has received the whole response.
    pub(crate) fn record(&self, context: &RequestContext) {
        if let Some(usage) = self.usage {
            context.set_usage(usage);
        }
        context.set_generated_tokens(self.tokens, self.least_tokens);
        context.set_text_has_begun(self.stream_end.is_some() && self.tokens > 0);
        if let Some(end) = self.stream_end {
            context.set_stream_end(end);
        }
    }

    /// Records the results for a request that has received this part of the response so far.
    ///
    /// The tokens of the text are in proportion to the bytes. Usage is known at the end only.
    pub(crate) fn record_part(&self, context: &RequestContext, (received, all): (usize, usize)) {
        let share = |tokens: u64| {
            let tokens = u128::from(tokens) * received as u128 / (all as u128).max(1);
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        let tokens = share(self.tokens);
        context.set_generated_tokens(tokens, share(self.least_tokens));
        context.set_text_has_begun(self.stream_end.is_some() && tokens > 0);
        if self.stream_end.is_some() {
            context.set_stream_end(StreamEnd::Cut);
        }
    }
}
