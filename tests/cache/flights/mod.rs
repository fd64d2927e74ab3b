//! Shared calls in flight.

mod bounds;
mod failures;
mod sharing;

use std::task::Waker;

use tokio::sync::{Semaphore, mpsc};
use tower_inference::rejection::{Refusal, Rejection, RejectionFormat};

use super::*;

/// Polls a future once, without a runtime's budget.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A call that is not polled yet.
fn begin(
    layer: &CacheLayer,
    upstream: &Upstream,
    request: Request<Payload>,
) -> Pin<Box<impl Future<Output = Result<CacheResponse, Fault>> + use<>>> {
    let mut service = layer.layer(upstream.clone());
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    Box::pin(service.call(request))
}

/// An upstream that responds with the number of the call once it has a permit.
fn gated() -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&completion(number)))
        })
    });
    (upstream, gate)
}

/// The only choice of a completion, and its end.
const CHUNK: &str = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";

/// An upstream whose only body comes through a channel.
fn channelled() -> (Upstream, mpsc::UnboundedSender<Step>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let upstream = Upstream::new(move |_, _| {
        let receiver = receiver.lock().unwrap().take().expect("one call");
        events([]).map(|_| ScriptedBody::live(receiver))
    });
    (upstream, sender)
}
