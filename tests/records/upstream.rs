//! Two upstreams that respond, fail, stall and panic at random.

use std::{
    collections::VecDeque,
    io,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Sleep, sleep};
use tower::Service;
use tower_inference::payload::Payload;

use crate::random::Random;

#[derive(Clone)]
pub struct Upstream(Arc<Mutex<Random>>);

impl Upstream {
    pub fn of(random: Random) -> Self {
        Self(Arc::new(Mutex::new(random)))
    }
}

/// The steps of a body.
pub enum Step {
    Wait(Duration),
    Data(Bytes),
    Fail,
    Panic,
    Stall,
}

pub struct Flow {
    steps: VecDeque<Step>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Flow {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), wait: None }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                std::task::ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Wait(time)) => self.wait = Some(Box::pin(sleep(time))),
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Fail) => {
                    return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
                }
                // The panic hook stays silent.
                Some(Step::Panic) => resume_unwind(Box::new("the body panics")),
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Flow>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Flow>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let mut random = Random::of(self.0.lock().unwrap().next());
        Box::pin(async move {
            let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            let is_stream = body.windows(13).any(|part| part == b"\"stream\":true");
            sleep(random.milliseconds(20)).await;
            let events = |mut end: Vec<Step>| {
                let head = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"";
                let mut steps = Vec::new();
                for word in ["", "some ", "words"] {
                    let event = format!("{head}{word}\"}}}}]}}\n\n");
                    steps.push(Step::Data(event.into()));
                    steps.push(Step::Wait(Duration::from_millis(3)));
                }
                steps.append(&mut end);
                Flow::new(steps)
            };
            let done = || {
                let finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
                let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n";
                [finish, usage, "data: [DONE]\n\n"].map(|data| Step::Data(data.into())).into()
            };
            let document = || {
                let text = r#"{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"some words"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"completion_tokens_details":{"reasoning_tokens":1}}}"#;
                Bytes::from(text)
            };
            let error = |status: u16| {
                let body = Step::Data(r#"{"error":{"message":"busy"}}"#.into());
                (status, "application/json", Flow::new([body]))
            };
            let json = "application/json";
            let (status, media_type, body) = match random.below(20) {
                0 => error(503),
                1 => error(429),
                2 => error(500),
                3 => error(400),
                4 => return Err(io::ErrorKind::ConnectionRefused.into()),
                5 => std::future::pending().await,
                6 => resume_unwind(Box::new("the upstream panics")),
                7 if is_stream => (200, "text/event-stream", events(vec![Step::Fail])),
                8 if is_stream => (200, "text/event-stream", events(vec![Step::Stall])),
                9 if is_stream => (200, "text/event-stream", events(Vec::new())),
                10 if is_stream => (200, "text/event-stream", events(vec![Step::Panic])),
                11 if is_stream => {
                    let error =
                        Step::Data("data: {\"error\":{\"message\":\"overloaded\"}}\n\n".into());
                    (200, "text/event-stream", events(vec![error]))
                }
                _ if is_stream => (200, "text/event-stream", events(done())),
                7 => (200, json, Flow::new([Step::Data(document().slice(..9)), Step::Fail])),
                8 => (200, json, Flow::new([Step::Data(document().slice(..9)), Step::Stall])),
                9 => (200, json, Flow::new([Step::Data("no JSON".into())])),
                _ => (
                    200,
                    json,
                    Flow::new([Step::Wait(random.milliseconds(9)), Step::Data(document())]),
                ),
            };
            let response = Response::builder().status(status).header("content-type", media_type);
            response.body(body).map_err(io::Error::other)
        })
    }
}
