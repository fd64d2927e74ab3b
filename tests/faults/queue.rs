//! Requests that wait for a slot of the gateway or for a target.

use hyper_util::client::legacy::ResponseFuture;
use tokio::task::JoinHandle;
use tower_inference::{
    fallback::{FallbackLayer, Target},
    hf::Stage,
};

use super::{
    held::{Arrived, HeldUpstream},
    *,
};

/// The place of the queue.
#[derive(Clone, Copy, Debug)]
enum Place {
    Upstream,
    Target,
}

/// A gateway with two slots and three places in its queue.
struct Gateway {
    front: Front,
    layer: UpstreamLayer,
    target: Target,
    place: Place,
}

const SLOTS: usize = 2;
const PLACES: usize = 3;

impl Gateway {
    async fn start(
        upstream: SocketAddr,
        client: Builder,
        front: Version,
        place: Place,
        queue_timeout: Duration,
    ) -> Self {
        let token = TokenSource::value(Secret::new("hf_faults")).unwrap();
        let stage = Stage::new("a", format!("http://{upstream}").parse().unwrap(), token);
        let (mut layer, mut target) = (UpstreamLayer::new(), Target::new(stage.clone()));
        match place {
            Place::Upstream => {
                layer = layer.max_in_flight(SLOTS).max_queued(PLACES).queue_timeout(queue_timeout);
            }
            Place::Target => {
                target =
                    target.max_in_flight(SLOTS).max_queued(PLACES).queue_timeout(queue_timeout);
            }
        }
        let service = ServiceBuilder::new()
            .layer(PayloadLayer::new())
            .layer(FallbackLayer::new([target.clone()]))
            .layer(layer.clone())
            .layer(HfTokenLayer::stage(stage))
            .service(client.build().unwrap());
        Self { front: Front::start(service, front).await, layer, target, place }
    }

    /// The number of requests that wait.
    fn queued(&self) -> usize {
        match self.place {
            Place::Upstream => self.layer.queued(),
            Place::Target => {
                let shown = format!("{:?}", self.target);
                let (_, rest) = shown.split_once("waiting: ").unwrap();
                rest.split(|other: char| !other.is_ascii_digit()).next().unwrap().parse().unwrap()
            }
        }
    }

    async fn has_queued(&self, requests: usize) {
        let reached = async {
            while self.queued() != requests {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANGS, reached).await.unwrap_or_else(|_| panic!("{} wait", self.queued()));
    }

    async fn is_idle(&self) {
        let idle = async {
            while self.layer.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANGS, idle).await.unwrap();
        self.has_queued(0).await;
    }

    fn send(&self, model: &str) -> ResponseFuture {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.front.address))
            .header("content-type", "application/json")
            .body(Full::from(format!(r#"{{"model":"{model}","messages":[]}}"#)))
            .unwrap();
        self.front.client.request(request)
    }

    fn spawn(&self, model: &str) -> JoinHandle<u16> {
        let response = self.send(model);
        tokio::spawn(async move {
            let response = response.await.unwrap();
            let status = response.status().as_u16();
            response.into_body().collect().await.unwrap();
            status
        })
    }

    /// Sends requests one after the other, each of which waits.
    async fn queue(&self, models: &[&str]) -> Vec<JoinHandle<u16>> {
        let mut waiting = Vec::new();
        for model in models {
            let before = self.queued();
            waiting.push(self.spawn(model));
            self.has_queued(before + 1).await;
        }
        waiting
    }

    /// Checks that a request is rejected although nobody leaves.
    async fn is_overloaded(&self, model: &str) {
        let response = timeout(HANGS, self.send(model)).await.unwrap().unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["retry-after"].as_bytes()),
            (503, &b"1"[..])
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("overloaded"), "{body:?}");
    }
}

async fn take(upstream: &mut HeldUpstream, models: &[&str]) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    for model in models {
        let next = upstream.next().await;
        assert_eq!(next.model, *model);
        arrived.push(next);
    }
    arrived
}

/// Runs a case over both versions on both sides and for both places.
async fn each(queue_timeout: Duration, case: impl AsyncFn(&Gateway, &mut HeldUpstream)) {
    for place in [Place::Upstream, Place::Target] {
        for back in [http1(), http2()] {
            for front in [Version::HTTP_11, Version::HTTP_2] {
                let mut upstream = HeldUpstream::start().await;
                let address = upstream.address;
                let gateway =
                    Gateway::start(address, back.clone(), front, place, queue_timeout).await;
                case(&gateway, &mut upstream).await;
                gateway.is_idle().await;
                assert!(upstream.is_quiet(), "{place:?} {front:?}");
            }
        }
    }
}

const NEVER: Duration = Duration::from_secs(100);

#[tokio::test]
async fn requests_beyond_the_slots_wait_in_order_and_beyond_the_queue_are_rejected() {
    each(NEVER, async |gateway, upstream| {
        let first = gateway.spawn("1");
        let mut open = take(upstream, &["1"]).await;
        let second = gateway.spawn("2");
        open.extend(take(upstream, &["2"]).await);
        let waiting = gateway.queue(&["3", "4", "5"]).await;
        gateway.is_overloaded("6").await;
        assert!(upstream.is_quiet());
        // Each response lets one request in, and its place is free again.
        let mut statuses = vec![first, second];
        statuses.extend(waiting);
        for (next, late) in [("3", "7"), ("4", "8"), ("5", "9")] {
            open.remove(0).ok();
            open.extend(take(upstream, &[next]).await);
            statuses.extend(gateway.queue(&[late]).await);
            gateway.is_overloaded("6").await;
        }
        for next in ["7", "8", "9"] {
            open.remove(0).ok();
            open.extend(take(upstream, &[next]).await);
        }
        for arrived in open {
            arrived.ok();
        }
        for status in statuses {
            assert_eq!(timeout(HANGS, status).await.unwrap().unwrap(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_gives_its_place_up() {
    each(NEVER, async |gateway, upstream| {
        let first = [gateway.spawn("1"), gateway.spawn("2")];
        let open = [upstream.next().await, upstream.next().await];
        let waiting = gateway.queue(&["3", "4", "5"]).await;
        // Over HTTP/2 it resets its stream, and its connection stays.
        waiting[1].abort();
        gateway.has_queued(2).await;
        let late = gateway.queue(&["6"]).await;
        let mut open = Vec::from(open);
        for next in ["3", "5", "6"] {
            open.remove(0).ok();
            open.extend(take(upstream, &[next]).await);
        }
        for arrived in open {
            arrived.ok();
        }
        for (nth, status) in first.into_iter().chain(waiting).chain(late).enumerate() {
            match timeout(HANGS, status).await.unwrap() {
                Ok(status) => assert_eq!(status, 200),
                Err(left) => assert!(left.is_cancelled() && nth == 3),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_its_slot_lets_the_next_one_in() {
    each(NEVER, async |gateway, upstream| {
        let first = [gateway.spawn("1"), gateway.spawn("2")];
        let [one, two] = [upstream.next().await, upstream.next().await];
        let mut waiting = gateway.queue(&["3"]).await;
        for client in &first {
            client.abort();
        }
        // The upstream sees that the gateway has left too.
        for left in [one, two] {
            timeout(HANGS, left.gone()).await.unwrap();
        }
        take(upstream, &["3"]).await.remove(0).ok();
        assert_eq!(timeout(HANGS, waiting.remove(0)).await.unwrap().unwrap(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline() {
    each(WAIT / 5, async |gateway, upstream| {
        let first = [gateway.spawn("1"), gateway.spawn("2")];
        let open = [upstream.next().await, upstream.next().await];
        // Both slots stay taken.
        gateway.is_overloaded("3").await;
        assert_eq!(gateway.queued(), 0);
        for arrived in open {
            arrived.ok();
        }
        for status in first {
            assert_eq!(timeout(HANGS, status).await.unwrap().unwrap(), 200);
        }
    })
    .await;
}
