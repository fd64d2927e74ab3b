//! The ids that the upstream gets are those of the exported spans.

use http::HeaderMap;
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanId, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::Layer;
use tower_inference::{
    context::{Propagator, RequestContext, TraceContext},
    fallback::FallbackLayer,
    hf::HfTokenLayer,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    test_util::{TestRequest, TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::*;

/// Writes the ids of `tracing-opentelemetry`. A stranger's trace becomes a link.
struct OpenTelemetry;

struct Headers<'a>(&'a HeaderMap);

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<http::HeaderName>(), value.parse()) {
            self.0.insert(name, value);
        }
    }
}

impl Propagator for OpenTelemetry {
    fn extract(&self, span: &Span, headers: &HeaderMap, is_trusted: bool) {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        let remote = parent.span().span_context().clone();
        if is_trusted {
            span.set_parent(parent).unwrap();
        } else if remote.is_valid() {
            span.add_link(remote);
        }
    }

    fn inject(&self, span: &Span, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
    }
}

/// Sends a request that needs two attempts, and returns the traces that the upstream got.
async fn sent(
    layer: RequestIdLayer,
    headers: &[(&'static str, &str)],
) -> (Vec<TraceContext>, RequestContext) {
    let upstream = TestUpstream::new(TestResponse::error(StatusCode::BAD_GATEWAY))
        .then(TestResponse::chat("an answer"));
    let layers = (
        layer.propagator(OpenTelemetry),
        access_log(),
        PayloadLayer::new(),
        FallbackLayer::new([target("a"), target("b")]),
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("default")),
    );
    let mut request = chat();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let context = RequestContext::ensure(request.extensions_mut());
    assert_eq!(send(layers.layer(upstream.clone()), request).await.0, StatusCode::OK);
    let of = |request: &TestRequest| {
        TraceContext::from_traceparent(&request.headers()["traceparent"]).unwrap()
    };
    (upstream.requests().iter().map(of).collect(), context)
}

fn attempts(exporter: &Exporter) -> Vec<SpanData> {
    exporter.named("POST").into_iter().filter(|span| span.span_kind == SpanKind::Client).collect()
}

#[tokio::test]
async fn the_upstream_is_below_the_attempt_in_the_trace_of_a_trusted_client() {
    let exporter = Exporter::start();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [("traceparent", &*traceparent), ("tracestate", "a=1")];
    let layer = RequestIdLayer::new().dangerous_trust_all_peers();
    let (traces, context) = sent(layer, &headers).await;
    let attempts = attempts(&exporter);
    assert_eq!((traces.len(), attempts.len()), (2, 2));
    for (trace, attempt) in traces.iter().zip(&attempts) {
        assert_eq!(trace.trace_id().as_str(), TRACE);
        assert_eq!(trace.parent_id().as_str(), attempt.span_context.span_id().to_string());
        assert_eq!(attempt.span_context.trace_id().to_string(), TRACE);
        assert!(trace.is_sampled());
    }
    let server =
        exporter.spans().into_iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    assert_eq!(server.parent_span_id, SpanId::from_hex(SPAN).unwrap());
    // The record has the same ids.
    assert_eq!(context.trace_id().unwrap().as_str(), TRACE);
    let own = context.trace_context().unwrap().parent_id().to_string();
    assert_eq!(own, server.span_context.span_id().to_string());
    assert_eq!(context.parent_span_id().unwrap().as_str(), SPAN);
    assert_eq!(text(&server, "trace_id").as_deref(), Some(TRACE));
}

#[tokio::test]
async fn the_trace_of_a_stranger_becomes_a_link() {
    let exporter = Exporter::start();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let (traces, context) = sent(RequestIdLayer::new(), &[("traceparent", &*traceparent)]).await;
    let server =
        exporter.spans().into_iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    let own = server.span_context.trace_id().to_string();
    assert_ne!(own, TRACE);
    assert!(traces.iter().all(|trace| trace.trace_id().as_str() == own && trace.is_sampled()));
    assert_eq!(context.trace_id().unwrap().as_str(), own);
    let links: Vec<_> =
        server.links.iter().map(|link| link.span_context.trace_id().to_string()).collect();
    assert_eq!(links, [TRACE]);
}

#[tokio::test]
async fn a_request_without_a_trace_gets_that_of_the_exporter() {
    let exporter = Exporter::start();
    let (traces, _context) = sent(RequestIdLayer::new(), &[]).await;
    let attempts = attempts(&exporter);
    for (trace, attempt) in traces.iter().zip(&attempts) {
        assert_eq!(trace.trace_id().as_str(), attempt.span_context.trace_id().to_string());
        assert_eq!(trace.parent_id().as_str(), attempt.span_context.span_id().to_string());
    }
    assert_eq!(attempts.len(), 2);
}
