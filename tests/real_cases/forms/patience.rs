//! Silence in the middle of responses: what pauses is not cut, what hangs is.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};
use tower_inference::{
    access_log::{AccessLogLayer, Record},
    body::BodyEnd,
    cache::{CacheLayer, Scope},
    context::StreamEnd,
    payload::PayloadLayer,
    schema::{ResponseSchema, Schema, SchemaLayer},
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    throttle::{Concurrency, Limit, Rate, Subject, ThrottleLayer, TokenBudgetLayer},
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const BODY: &str = r#"{"model":"m","stream":true,"temperature":0,"messages":[{"role":"user","content":"Say hi."}]}"#;
const ROLE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const TEXT: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"42\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What an upstream does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Say(&'static str),
    Pause(Duration),
    /// For ever, with the connection open.
    Hang,
}

/// A body that is played.
#[derive(Debug)]
struct Play {
    acts: VecDeque<Act>,
    pause: Option<Pin<Box<Sleep>>>,
    // Tells that the connection is closed.
    _open: Arc<()>,
}

impl Body for Play {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.acts.front().copied() {
                None => return Poll::Ready(None),
                Some(Act::Hang) => return Poll::Pending,
                Some(Act::Pause(time)) => self.pause = Some(Box::pin(sleep(time))),
                Some(Act::Say(text)) => {
                    self.acts.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(text.into()))));
                }
            }
            self.acts.pop_front();
        }
    }
}

/// An upstream that sends its head after `head`, and then plays `acts`. Counts its calls by handles
/// of the second: one is ours.
fn playing(
    head: Duration,
    media_type: &'static str,
    acts: &[Act],
) -> (
    impl Service<Request<Payload>, Response = Response<Play>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
    Arc<()>,
) {
    let (open, acts) = (Arc::new(()), acts.to_vec());
    let held = Arc::clone(&open);
    let service = service_fn(move |_: Request<Payload>| {
        let body = Play { acts: acts.clone().into(), pause: None, _open: Arc::clone(&held) };
        async move {
            sleep(head).await;
            Ok(Response::builder().header(CONTENT_TYPE, media_type).body(body).unwrap())
        }
    });
    (service, open)
}

/// Records, as they are written.
fn recording() -> (AccessLogLayer, Arc<Mutex<Vec<(BodyEnd, Option<StreamEnd>)>>>) {
    let records = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&records);
    let layer = AccessLogLayer::to(move |record: &Record| {
        log.lock().unwrap().push((record.outcome(), record.stream_end()));
    });
    (layer, records)
}

/// Every layer that has a timer of its own, or waits for a response.
fn waiting(log: AccessLogLayer, budget: TokenBudgetLayer) -> Stack<
    impl Sized, impl Sized, impl Sized, impl Sized, impl Sized, impl Sized,
> {
    unimplemented!()
}
