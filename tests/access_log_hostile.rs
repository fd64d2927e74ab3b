//! Records and lines with secrets in them, with text that forges, and for sinks that panic.

#[path = "support/written.rs"]
mod written;

use std::{
    convert::Infallible,
    future::{pending, ready},
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Format, Sink},
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    identity::{Identity, Proof},
    record::{GenAiConventions, Record, RecordSink},
    secret::{Scrubber, Secret},
    stack::Stack,
};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::written::Written;

const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";

fn sink() -> (Sink, Written) {
    let written = Written::default();
    (Sink::new(written.clone()).unwrap().drain_timeout(Duration::from_secs(60)), written)
}

fn scrubber() -> Scrubber {
    Scrubber::new([Secret::new(TOKEN)])
}

/// The line of a request to `path`, which says `text` wherever a request can say something.
fn line(path: &str, text: &'static str) -> Value {
    let (sink, written) = sink();
    let format = Format::json().more_fields(["user_agent"]).unwrap();
    let layer = AccessLogLayer::lines(sink.clone(), format).scrubber(scrubber());
    let service = layer.layer(service_fn(move |request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, text, text).with_tenant(text)));
        context.set_model(text);
        context.set_target(text);
        context.set_route(text);
        context.set_stage(text);
        context.set_upstream(text.into());
        let mut outcome = context.outcome();
        outcome.limited_by = Some(text.into());
        outcome.shadow_limited_by = Some(text.into());
        context.set_outcome(outcome);
        context.set_request_id(text.parse().unwrap());
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    let request = Request::builder().uri(path).header("user-agent", text);
    let request = match Method::from_bytes(text.as_bytes()) {
        Ok(method) => request.method(method),
        Err(_) => request,
    };
    let call = service.oneshot(request.body(Empty::<Bytes>::new()).unwrap());
    let Poll::Ready(_) = pin!(call).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits")
    };
    assert!(sink.flush());
    serde_json::from_str(&written.text()).unwrap()
}

#[test]
fn no_string_of_a_record_holds_the_token() {
    let text = "model-hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";
    let record = line(&format!("/models/{TOKEN}/x"), text);
    let mut redacted = 0;
    let mut all = vec![&record];
    while let Some(value) = all.pop() {
        redacted += usize::from(*value == "[redacted]");
        all.extend(value.as_object().into_iter().flat_map(serde_json::Map::values));
    }
    // All that `line` says, and the path.
    assert_eq!(redacted, 15 - 1, "{record:#}");
    assert!(!record.to_string().contains("hf_"), "{record:#}");
}

#[test]
fn a_string_that_is_cut_within_the_token_holds_no_part_of_it() {
    for cut in 1..TOKEN.len() {
        let path = format!("/{}{TOKEN}", "x".repeat(2_048 - 1 - cut));
        assert_eq!(line(&path, "y")["path"], "[redacted]");
    }
    let encoded: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(line(&format!("/{encoded}"), "y")["path"], "[redacted]");
    assert_eq!(line("/v1/org%2Fmodel", "y")["path"], "/v1/org%2Fmodel");
}

#[tokio::test]
async fn the_records_of_a_stack_are_without_its_token_in_either_order() {
    let token = || {
        let source = TokenSource::value(Secret::new(TOKEN)).unwrap();
        HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), source)
    };
    let client =
        service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
    for token_first in [true, false] {
        let (sink, written) = sink();
        let log = AccessLogLayer::json(sink.clone());
        let stack = if token_first {
            Stack::new().hf_token(token()).access_log(log)
        } else {
            Stack::new().access_log(log).hf_token(token())
        };
        let request = Request::get(format!("/{TOKEN}")).body(Full::<Bytes>::default()).unwrap();
        let response = stack.layer(client).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert!(sink.flush());
        let line: Value = serde_json::from_str(&written.text()).unwrap();
        assert_eq!(line["path"], "[redacted]");
    }
}

#[test]
fn lines_of_a_sink_are_scrubbed_whatever_queued_them() {
    let (sink, written) = sink();
    let mut sink = sink.scrubber(scrubber()).scrubber(Scrubber::new([Secret::new("other-secret")]));
    sink.line(format!("{{\"a\":\"{TOKEN}\"}}").as_bytes());
    sink.text(&format!("the upstream said: {TOKEN}"));
    sink.line(b"% \\ %41 kept as it is");
    writeln!(sink, "other-secret, {}", TOKEN.replace('_', "%5F")).unwrap();
    assert!(sink.flush());
    assert_eq!(
        written.text(),
        "{\"a\":\"[redacted]\"}\nthe upstream said: [redacted]\n% \\ %41 kept as it is\n\
         [redacted], [redacted]\n"
    );
}

#[test]
fn a_text_is_one_line_and_shows_all_that_it_has() {
    let (sink, written) = sink();
    sink.text("a\nforged\u{1b}[2J\u{202e}b\u{2028}c");
    assert!(sink.flush());
    assert_eq!(written.text(), "a\\nforged\\u{1b}[2J\\u{202e}b\\u{2028}c\n");
}

#[test]
fn a_sink_takes_what_a_formatter_of_logs_writes() {
    let (sink, written) = sink();
    let events = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || events.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!("one");
        tracing::warn!("two");
    });
    assert!(sink.flush());
    assert_eq!(written.text().lines().count(), 2, "{}", written.text());
    assert_eq!(sink.dropped_lines(), 0);
}

#[test]
fn an_event_shows_what_reorders_its_text() {
    let (sink, written) = sink();
    let events = sink.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || events.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        let layer = AccessLogLayer::new();
        let service = layer.layer(service_fn(|request: Request<_>| {
            RequestContext::of(request.extensions()).unwrap().set_model("a\u{202e}b\u{2066}c");
            pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        }));
        let mut call = Box::pin(service.oneshot(Request::new(Empty::<Bytes>::new())));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    assert!(sink.flush());
    let text = written.text();
    assert!(text.contains("u{202e}b") && !text.contains('\u{202e}'), "{text}");
}

/// The lines that a subscriber writes about the spans of a request with this model.
fn lines_of_spans(model: &str) -> String {
    let (sink, written) = sink();
    let events = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || events.clone())
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let source = TokenSource::value(Secret::new(TOKEN)).unwrap();
        let token = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), source);
        let log = AccessLogLayer::sink(|_: &Record<'_>| {}).spans(GenAiConventions::Latest);
        let client =
            service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
        let service = Stack::new().access_log(log).hf_token(token).layer(client);
        let mut request =
            Request::post("/v1/chat/completions").body(Full::<Bytes>::default()).unwrap();
        RequestContext::ensure(request.extensions_mut()).set_model(model);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let response = service.oneshot(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        });
    });
    assert!(sink.flush());
    written.text()
}

#[test]
fn a_span_has_no_token_and_forges_no_line() {
    let plain = lines_of_spans("org/model");
    assert!(plain.contains("chat org/model"), "{plain}");
    let hostile = lines_of_spans("a\n2026-12-01 INFO forged\r\u{1b}[2J\u{202e}b\u{2028}c");
    assert_eq!(hostile.lines().count(), plain.lines().count(), "{hostile}");
    let hidden = ['\r', '\u{1b}', '\u{202e}', '\u{2028}'];
    assert!(!hostile.contains(hidden), "{hostile}");
    let token = lines_of_spans(TOKEN);
    assert!(token.contains("[redacted]") && !token.contains(TOKEN), "{token}");
}

/// A layer whose sink panics.
fn panicking() -> AccessLogLayer {
    AccessLogLayer::sink(|_: &Record<'_>| panic!("a bug of the sink's"))
}

/// Metrics count a request in flight from its arrival to its record.
#[tokio::test]
async fn a_sink_that_panics_at_the_arrival_leaves_the_others_balanced() {
    struct Panics;

    impl RecordSink for Panics {
        fn arrived(&self) {
            panic!("a bug of the sink's");
        }

        fn record(&self, _record: &Record<'_>) {}
    }

    #[derive(Clone, Default)]
    struct InFlight(Arc<AtomicI64>, Arc<AtomicI64>);

    impl RecordSink for InFlight {
        fn arrived(&self) {
            self.0.fetch_add(1, Relaxed);
        }

        fn record(&self, _record: &Record<'_>) {
            self.0.fetch_sub(1, Relaxed);
            self.1.fetch_add(1, Relaxed);
        }
    }

    let (before, after) = (InFlight::default(), InFlight::default());
    let layer = AccessLogLayer::sink(before.clone()).and(Panics).and(after.clone());
    let service = layer.layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("whole")))))
    }));
    let response = service.oneshot(Request::new(Empty::<Bytes>::new())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "whole");
    for InFlight(in_flight, records) in [before, after] {
        assert_eq!((in_flight.load(Relaxed), records.load(Relaxed)), (0, 1));
    }
}

#[tokio::test]
async fn a_sink_that_panics_breaks_no_response() {
    let service = panicking().layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("whole")))))
    }));
    let response = service.oneshot(Request::new(Empty::<Bytes>::new())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "whole");
}

/// Without the catch, the second panic would abort the process of this test.
#[test]
fn a_sink_that_panics_while_a_panic_unwinds_aborts_nothing() {
    let service = panicking().layer(service_fn(|_| async {
        if true {
            panic!("a bug of the service's");
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let call = AssertUnwindSafe(|| {
        let mut call = Box::pin(service.oneshot(Request::new(Empty::<Bytes>::new())));
        call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    });
    let panicked = catch_unwind(call).unwrap_err();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"a bug of the service's"));
}
