//! The names in lines and events of the access log.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::written::Written;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer as _, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Format, Sink},
    context::{CacheOutcome, RequestContext, StreamEnd, TraceId, Usage},
    identity::{Identity, Proof},
};
use tracing::{Event, Id, Metadata, Subscriber, span, subscriber::Interest};

/// Sends a request whose record has every member.
fn send(log: AccessLogLayer) {
    let handler = service_fn(|request: Request<_>| async move {
        let context = RequestContext::of(request.extensions()).unwrap().clone();
        let identity = Identity::new(Proof::Jwt, "https://issuer.example", "ann");
        context.set_identity(Arc::new(identity.with_tenant("acme").with_credential_id("key-1")));
        context.set_request_id(HeaderValue::from_static("r-7"));
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = HeaderValue::from_static(parent);
        context.set_trace_id(TraceId::from_traceparent(&parent).unwrap());
        context.set_route("chat");
        context.set_stage("prod");
        context.set_model("m");
        context.set_target("m:p");
        context.set_upstream("https://up.example".into());
        context.add_value("own", 7_i64);
        let mut usage = Usage::default();
        usage.prompt_tokens = Some(1);
        usage.completion_tokens = Some(1);
        usage.total_tokens = Some(2);
        usage.cached_tokens = Some(1);
        usage.cache_write_tokens = Some(1);
        usage.reasoning_tokens = Some(1);
        let mut outcome = context.outcome();
        outcome.rejection = Some("throttled");
        outcome.limited_by = Some("limit".into());
        outcome.shadow_limited_by = Some("limit".into());
        outcome.cache = Some(CacheOutcome::Miss);
        outcome.attempts = 1;
        outcome.upstream_status = Some(StatusCode::OK);
        outcome.usage = Some(usage);
        outcome.stream_end = Some(StreamEnd::Done);
        context.set_outcome(outcome);
        let response = Response::builder().header("grpc-status", "0");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from("x"))).unwrap())
    });
    let service = log.layer(handler);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let request = Request::get("/").header("user-agent", "curl/8");
        let response = service.oneshot(request.body(Full::<Bytes>::default()).unwrap()).await;
        response.unwrap().into_body().collect().await.unwrap();
    });
}

/// Returns the members of a line. Those of an object have its name and a dot before theirs.
fn json_members() -> Vec<String> {
    let written = Written::default();
    let sink = Sink::new(written.clone()).unwrap().drain_timeout(Duration::from_secs(60));
    let format = Format::json().fields(named()).unwrap();
    send(AccessLogLayer::lines(sink.clone(), format));
    assert!(sink.flush());
    let line: Value = serde_json::from_str(&written.text()).unwrap();
    let mut members = Vec::new();
    for (name, value) in line.as_object().unwrap() {
        match value.as_object() {
            // Its members are those of the program.
            _ if name == "values" => members.push(name.clone()),
            Some(object) => members.extend(object.keys().map(|own| format!("{name}.{own}"))),
            None => members.push(name.clone()),
        }
    }
    members
}

/// Returns the names that the source has.
pub fn named() -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/access_log/format/members.rs");
    let source = fs::read_to_string(source).unwrap();
    let table = source.split_once("members! {").unwrap().1.split_once('}').unwrap().0;
    table.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What only other layers, a stream or an upstream bring is in no line above.
#[test]
fn each_member_of_a_line_is_named() {
    let written: BTreeSet<_> = json_members().into_iter().collect();
    let named: BTreeSet<_> = named().into_iter().collect();
    let missing: Vec<_> = named.difference(&written).map(String::as_str).collect();
    assert!(written.is_subset(&named), "{written:?}");
    assert_eq!(
        missing,
        [
            "amzn_trace_id",
            "attempt_list.abandoned",
            "attempt_list.duration_us",
            "attempt_list.started_us",
            "attempt_list.status",
            "attempt_list.target",
            "attempt_list.upstream",
            "attempt_list.upstream_request_id",
            "client_address",
            "first_token_us",
            "parent_span_id",
            "span_id",
            "upstream_request_id",
            "upstream_us",
        ]
    );
}

/// Keeps the names of the fields of one target.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<String>>>);

impl Subscriber for Fields {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::always()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "tower_inference::access" {
            // All fields of the event, also those without a value.
            let fields = event.metadata().fields();
            *self.0.lock().unwrap() = fields.iter().map(|field| field.name().to_owned()).collect();
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

pub fn event_fields() -> Vec<String> {
    let fields = Fields::default();
    tracing::subscriber::with_default(fields.clone(), || send(AccessLogLayer::new()));
    std::mem::take(&mut *fields.0.lock().unwrap())
}
