//! The contract of a service, and the cost of a record.

use tower_inference::{
    access_log::{AccessLog, Emf, ResponseFuture},
    record::GenAiConventions,
};

use super::*;
use crate::support::Probe;

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    let log = Log::new();
    let mut service = log.layer.layer(Probe::new(|_| Response::new(Empty::<Bytes>::new())));
    for _ in 0..2 {
        service.clone().oneshot(get("/")).await.unwrap();
        service.ready().await.unwrap().call(get("/")).await.unwrap();
    }
    assert_eq!(log.records().len(), 4);
}

#[test]
fn the_types_are_what_their_parts_are() {
    fn sound<T: Send + Sync + Unpin + 'static>() {}
    fn shown<T: Clone + fmt::Debug>() {}
    sound::<AccessLogLayer>();
    sound::<AccessLog<()>>();
    sound::<ResponseFuture<()>>();
    sound::<RequestBody<Full<Bytes>>>();
    sound::<ResponseBody<Full<Bytes>>>();
    sound::<Sink>();
    shown::<AccessLogLayer>();
    shown::<AccessLog<()>>();
    shown::<Sink>();
}

#[test]
fn nothing_printed_holds_a_query() {
    let log = Log::new();
    let service = log.layer.layer(service_fn(|_: Request<RequestBody<_>>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Stall]))))
    }));
    let response = now(service.oneshot(get("/a?key=secret"))).unwrap();
    assert!(!format!("{response:?}").contains("secret"));
    let layer = AccessLogLayer::sink(|record: &Record<'_>| {
        assert!(!format!("{record:?}").contains("secret"));
    });
    let service = layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(get("/a?key=secret"))).unwrap();
}

/// The least allocations of a request.
fn allocations(log: &Log) -> u64 {
    let mut service = log.layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.set_route("chat");
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }));
    let identity = Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7"));
    let mut costs = || {
        let mut request = get("/");
        *request.uri_mut() = http::Uri::from_static("/v1/chat/completions");
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_identity(Arc::clone(&identity));
        let costs = allocation_counter::measure(|| {
            let response = now(service.call(request)).unwrap();
            drop(pin!(response.into_body()).poll_frame(&mut Context::from_waker(Waker::noop())));
        });
        costs.count_total
    };
    // Until the queue has its room, which the writer then hands back each time.
    [costs(), costs(), costs(), costs()].into_iter().min().unwrap()
}

#[test]
fn a_request_costs_one_allocation() {
    // Its record. The line is copied into the room that the queue has.
    assert_eq!(allocations(&Log::new()), 1);
    let fields = ["time", "request_id", "path", "status", "user_agent", "total_us"];
    assert_eq!(allocations(&Log::format(Format::json().fields(fields).unwrap())), 1);
    assert_eq!(allocations(&Log::format(Format::json())), 1);
}

#[test]
fn other_formats_cost_few_allocations() {
    let emf = || Format::emf(Emf::new("n").unwrap());
    for (name, format, expected) in [
        ("api gateway", Format::api_gateway(), 1),
        ("opentelemetry", Format::open_telemetry(GenAiConventions::Latest), 1),
        ("common", Format::common(), 2),
        ("combined", Format::combined(), 2),
        ("emf", emf(), 5),
    ] {
        let allocations = allocations(&Log::format(format));
        assert_eq!(allocations, expected, "{name}");
    }
}
