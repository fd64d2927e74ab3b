//! The record as a `tracing` event.

use std::collections::BTreeMap;

use tower_inference::record::RecordSink;
use tracing::{Id, Metadata, field::Field, span, subscriber::Interest};

use super::*;

#[test]
fn a_record_is_one_event() {
    let events = Events::default();
    let _listens = tracing::subscriber::set_default(events.clone());
    let clock = FakeClock::new(UNIX_EPOCH);
    let layer = AccessLogLayer::new().clock(SharedClock::new(clock));
    let service = layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.set_request_id(HeaderValue::from_static("id-7"));
        context.set_identity(Arc::new(Identity::new(Proof::ApiKey, "keys", "user-7")));
        let mut usage = Usage::default();
        usage.total_tokens = Some(7);
        usage.cached_tokens = Some(3);
        context.set_usage(usage);
        context.add_attempt();
        Response::new(Full::new(Bytes::from("hello")))
    }));
    let response = now(service.oneshot(get("/a?key=secret"))).unwrap();
    assert_eq!(events.seen().len(), 0);
    now(response.into_body().collect()).unwrap();

    let expected = [
        ("time", "1970-01-01T00:00:00.000Z"),
        ("request_id", "id-7"),
        ("principal.proof", "api-key"),
        ("principal.issuer", "keys"),
        ("principal.subject", "user-7"),
        ("method", "GET"),
        ("path", "/a"),
        ("status", "200"),
        ("outcome", "complete"),
        ("bytes_in", "0"),
        ("bytes_out", "5"),
        ("head_us", "0"),
        ("first_byte_us", "0"),
        ("total_us", "0"),
        ("attempts", "1"),
        ("usage.total_tokens", "7"),
        ("usage.cached_tokens", "3"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(events.seen(), [("tower_inference::access".to_owned(), BTreeMap::from(expected))]);
}

#[test]
fn no_record_is_made_without_a_subscriber() {
    let events = Events { deaf: true, ..Events::default() };
    let deaf = tracing::subscriber::set_default(events.clone());
    let clock = FakeClock::new(UNIX_EPOCH);
    let layer = AccessLogLayer::new().clock(SharedClock::new(clock));
    let service = layer.layer(answering(|request: Request<RequestBody<Empty<Bytes>>>| {
        assert!(RequestContext::of(request.extensions()).is_none());
        Response::new(Full::new(Bytes::from("hello")))
    }));
    let costs = |request: Request<Empty<Bytes>>| {
        let mut body = None;
        let costs = allocation_counter::measure(|| {
            body = Some(now(service.clone().oneshot(request)).unwrap().into_body());
        });
        assert_eq!(now(body.unwrap().collect()).unwrap().to_bytes(), "hello");
        costs.count_total
    };
    costs(get("/"));
    assert_eq!(costs(get("/")), 0);
    assert_eq!(events.seen(), []);

    // Accepted while nobody listens, it is not recorded even if somebody does at its end.
    let response = now(service.clone().oneshot(get("/"))).unwrap();
    drop(deaf);
    let events = Events::default();
    let _listens = tracing::subscriber::set_default(events.clone());
    now(response.into_body().collect()).unwrap();
    assert_eq!(events.seen(), []);
}

#[test]
fn a_sink_that_wants_no_records_gets_none() {
    struct Never;

    impl RecordSink for Never {
        fn enabled(&self) -> bool {
            false
        }

        fn record(&self, _record: &Record<'_>) {
            unreachable!("it wants none");
        }
    }

    let service = AccessLogLayer::sink(Never)
        .layer(answering(|_| Response::new(Full::new(Bytes::from("hello")))));
    let response = now(service.oneshot(get("/"))).unwrap();
    assert_eq!(now(response.into_body().collect()).unwrap().to_bytes(), "hello");
}

/// The target of an event, and its fields.
type Event = (String, BTreeMap<String, String>);

#[derive(Clone, Default)]
struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    deaf: bool,
}

impl Events {
    fn seen(&self) -> Vec<Event> {
        self.seen.lock().unwrap().clone()
    }
}

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Events {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        !self.deaf
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.seen.lock().unwrap().push((event.metadata().target().to_owned(), fields.0));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
