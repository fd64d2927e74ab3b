//! The requests that wait for one response in flight and then share it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt as _, service_fn};
use tower_inference::{
    cache::{CacheLayer, Scope},
    payload::{Payload, PayloadLayer},
};

use crate::{
    Error,
    requests::{from_caller, numbered},
    server::resident,
    table::{self, Row, grouped, memory_each},
    turns::{Round, take_turns},
};

const FOLLOWERS: [usize; 3] = [100, 1_000, 4_000];
const ROUNDS: usize = 31;
const COMPLETION: &[u8] = br#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;

pub(crate) fn measure() -> Result<(), Error> {
    // The layer limits the time of a shared call.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _for_timers = runtime.enter();

    let mut rows = Vec::new();
    let mut sides = Vec::new();
    for followers in FOLLOWERS {
        let shared = Shared::new();
        let before = resident("self")?;
        let waiting = shared.wait(0, followers)?;
        let grown = resident("self")?.saturating_sub(before);
        shared.finish(waiting)?;
        let each = memory_each(grown, followers, "a follower");
        rows.push(Row { size: grouped(followers), each });
        let mut number = 0;
        sides.push(Box::new(move || {
            number += 1;
            let waiting = shared.wait(number, followers)?;
            let start = Instant::now();
            shared.finish(waiting)?;
            Ok(start.elapsed().as_nanos() as f64 / followers as f64)
        }) as Round<'_>);
    }
    let costs = take_turns(ROUNDS, &mut sides)?;
    table::print("followers of one call", "ns", &rows, &costs);
    Ok(())
}

/// A request that has been sent.
type Sent = Pin<Box<dyn Future<Output = Result<Bytes, Error>>>>;

/// A cache in front of an upstream that responds when it is told to.
struct Shared {
    cache: CacheLayer,
    respond: Arc<Notify>,
}

impl Shared {
    fn new() -> Self {
        Self { cache: CacheLayer::new("growth", Scope::Identity), respond: Arc::default() }
    }

    /// Sends a request and its followers. All wait for the upstream.
    fn wait(&self, number: usize, followers: usize) -> Result<Vec<Sent>, Error> {
        let respond = Arc::clone(&self.respond);
        let upstream = service_fn(move |_: Request<Payload>| {
            let respond = Arc::clone(&respond);
            async move {
                respond.notified().await;
                let mut response = Response::new(Full::new(Bytes::from_static(COMPLETION)));
                let json = header::HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                Ok::<_, Infallible>(response)
            }
        });
        let service = (PayloadLayer::new(), self.cache.clone()).layer(upstream);
        let mut sent: Vec<Sent> = Vec::with_capacity(followers + 1);
        for _ in 0..=followers {
            let response = service.clone().oneshot(from_caller(0, numbered(number)));
            let mut request: Sent =
                Box::pin(async { Ok(response.await?.into_body().collect().await?.to_bytes()) });
            if request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                return Err("a request did not wait".into());
            }
            sent.push(request);
        }
        Ok(sent)
    }

    /// Lets the upstream respond and reads all responses to their ends.
    fn finish(&self, mut sent: Vec<Sent>) -> Result<(), Error> {
        let (before, followers) = (self.followers(), sent.len() as u64 - 1);
        self.respond.notify_one();
        let mut cx = Context::from_waker(Waker::noop());
        while !sent.is_empty() {
            let mut failed = None;
            sent.retain_mut(|request| match request.as_mut().poll(&mut cx) {
                Poll::Pending => true,
                Poll::Ready(read) => {
                    failed = failed.take().or_else(|| read.err());
                    false
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        match self.followers() - before {
            all if all == followers => Ok(()),
            some => Err(format!("{some} of {followers} requests shared the call").into()),
        }
    }

    fn followers(&self) -> u64 {
        self.cache.counts().iter().map(|counts| counts.followers).sum()
    }
}
