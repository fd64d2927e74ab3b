//! Models that load or are busy, over both versions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::task::JoinHandle;
use tower::util::MapFutureLayer;
use tower_inference::{
    fallback::{FallbackLayer, Target},
    hf::Stage,
};

use super::{
    held::{HeldUpstream, json},
    *,
};

/// Half a second is the shortest wait, and `retry-after` has whole seconds.
const LOADING: &str = r#"{"error":"Model m is currently loading","estimated_time":0.2}"#;

/// A gateway that may wait for a model, and the number of its calls.
struct Gateway {
    front: Arc<Front>,
    layer: UpstreamLayer,
    calls: Arc<AtomicUsize>,
}

struct Call(Arc<AtomicUsize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Gateway {
    async fn start(
        upstream: SocketAddr,
        client: Builder,
        front: Version,
        wait: Option<Duration>,
    ) -> Self {
        let token = TokenSource::value(Secret::new("hf_faults")).unwrap();
        let stage = Stage::new("a", format!("http://{upstream}").parse().unwrap(), token);
        let layer = UpstreamLayer::new();
        let fallback = FallbackLayer::new([Target::new(stage.clone())]).cool_down(WAIT / 5);
        let fallback = match wait {
            Some(timeout) => fallback.wait_for_model(timeout),
            None => fallback,
        };
        let calls = Arc::new(AtomicUsize::new(0));
        let of_layer = Arc::clone(&calls);
        let service = ServiceBuilder::new()
            .layer(MapFutureLayer::new(move |response| {
                of_layer.fetch_add(1, SeqCst);
                let call = Call(Arc::clone(&of_layer));
                async move {
                    let _until_it_ends = call;
                    response.await
                }
            }))
            .layer(PayloadLayer::new())
            .layer(fallback)
            .layer(layer.clone())
            .layer(HfTokenLayer::stage(stage))
            .service(client.build().unwrap());
        let front = Arc::new(Front::start(service, front).await);
        Self { front, layer, calls }
    }

    fn send(&self, body: &'static str) -> JoinHandle<(Outcome, Option<String>)> {
        let front = Arc::clone(&self.front);
        tokio::spawn(async move { front.received(body, |_| ()).await })
    }

    async fn becomes(&self, is_so: impl Fn(&Self) -> bool) {
        let so = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANGS, so).await.unwrap();
    }
}

const CHAT: &str = r#"{"model":"m","messages":[]}"#;
const SERVED: &str = r#"{"model":"m","choices":[]}"#;

/// Runs a case over both versions on both sides at once.
async fn each(wait: Option<Duration>, case: impl AsyncFn(&Gateway, &mut HeldUpstream)) {
    let run = async |back: Builder, front| {
        let mut upstream = HeldUpstream::start().await;
        let gateway = Gateway::start(upstream.address, back, front, wait).await;
        case(&gateway, &mut upstream).await;
        gateway.becomes(|gateway| gateway.layer.in_flight() == 0).await;
        assert!(upstream.is_quiet());
    };
    tokio::join!(
        run(http1(), Version::HTTP_11),
        run(http1(), Version::HTTP_2),
        run(http2(), Version::HTTP_11),
        run(http2(), Version::HTTP_2),
    );
}

#[tokio::test]
async fn a_model_that_loads_is_passed_on_with_its_wait() {
    const LONG: &str = r#"{"error":"Model m is currently loading","estimated_time":1e300}"#;
    for (status, body, retry_after) in
        [(503, LOADING, Some("1")), (503, LONG, Some("60")), (429, "{}", None)]
    {
        each(None, async |gateway, upstream| {
            let request = gateway.front.request(CHAT);
            let response = tokio::spawn(gateway.front.client.request(request));
            upstream.next().await.respond(json(status, body));
            let response = timeout(HANGS, response).await.unwrap().unwrap().unwrap();
            assert_eq!(response.status(), status);
            let header = response.headers().get("retry-after");
            assert_eq!(header.map(|value| value.to_str().unwrap()), retry_after);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        })
        .await;
    }
}

#[tokio::test]
async fn a_model_that_loads_or_is_busy_is_waited_for() {
    each(Some(HANGS), async |gateway, upstream| {
        for (status, body) in [(429, "{}"), (503, LOADING)] {
            // A 429 without a time is waited for during the cool-down of the layer.
            let response = gateway.send(CHAT);
            upstream.next().await.respond(json(status, body));
            // Nothing is in flight meanwhile.
            gateway.becomes(|gateway| gateway.layer.in_flight() == 0).await;
            assert!(!response.is_finished());
            upstream.next().await.ok();
            let (outcome, target) = timeout(HANGS, response).await.unwrap().unwrap();
            assert_eq!(outcome, Whole(200, SERVED.to_owned()));
            assert_eq!(target.as_deref(), Some("a"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_wait() {
    each(Some(HANGS), async |gateway, upstream| {
        let leaves = gateway.send(CHAT);
        upstream.next().await.respond(json(503, LOADING));
        gateway.becomes(|gateway| gateway.layer.in_flight() == 0).await;
        assert_eq!(gateway.calls.load(SeqCst), 1);
        leaves.abort();
        gateway.becomes(|gateway| gateway.calls.load(SeqCst) == 0).await;
        // The next request waits for the same time, and nothing arrives before it.
        let stays = gateway.send(r#"{"model":"next","messages":[]}"#);
        let next = upstream.next().await;
        assert_eq!(next.model, "next");
        next.ok();
        assert!(matches!(timeout(HANGS, stays).await.unwrap().unwrap().0, Whole(200, _)));
    })
    .await;
}
