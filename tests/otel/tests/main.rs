//! The spans of a request as `tracing-opentelemetry` exports them, and the trace that the upstream gets.

mod propagation;
mod spans;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use opentelemetry::{
    Value,
    trace::{SpanKind, TracerProvider},
};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SdkTracer, SdkTracerProvider, SpanData,
};
use tower::{Service, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    fallback::Target,
    hf::{Stage, TokenSource},
    model::Profile,
    payload::Payload,
    record::{GenAiAttribute, GenAiConventions, Record},
    secret::Secret,
};
use tracing::subscriber::DefaultGuard;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer as _, Registry, layer::SubscriberExt};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const SPAN: &str = "00f067aa0ba902b7";

/// An exporter that keeps the spans of this thread.
pub struct Exporter {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _listens: DefaultGuard,
}

impl Exporter {
    pub fn start() -> Self {
        Self::filtered(|layer| layer.boxed())
    }

    pub fn filtered(
        filter: impl FnOnce(
            OpenTelemetryLayer<Registry, SdkTracer>,
        ) -> Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>,
    ) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(filter(layer));
        let listens = tracing::subscriber::set_default(subscriber);
        Self { exporter, provider, _listens: listens }
    }

    /// The spans that have ended, in the order of their ends.
    pub fn spans(&self) -> Vec<SpanData> {
        self.provider.force_flush().unwrap();
        self.exporter.get_finished_spans().unwrap()
    }

    pub fn only(&self, name: &str) -> SpanData {
        let mut named = self.named(name);
        assert_eq!(named.len(), 1, "{name} in {:?}", self.names());
        named.remove(0)
    }

    pub fn named(&self, name: &str) -> Vec<SpanData> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.spans().iter().map(|span| span.name.to_string()).collect()
    }
}

/// The value of an attribute, which occurs once.
pub fn attribute(span: &SpanData, name: &str) -> Option<Value> {
    let mut values = span.attributes.iter().filter(|own| own.key.as_str() == name);
    let value = values.next()?.value.clone();
    assert!(values.next().is_none(), "{name} is there twice in {span:?}");
    Some(value)
}

pub fn text(span: &SpanData, name: &str) -> Option<String> {
    attribute(span, name).map(|value| value.as_str().into_owned())
}

pub fn number(span: &SpanData, name: &str) -> Option<i64> {
    match attribute(span, name)? {
        Value::I64(number) => Some(number),
        other => panic!("{name} is {other:?}"),
    }
}

pub fn access_log() -> AccessLogLayer {
    AccessLogLayer::sink(|_: &Record<'_>| {}).spans(GenAiConventions::Latest)
}

pub fn stage(name: &str) -> Stage {
    let token = TokenSource::value(Secret::new("hf_example")).unwrap();
    let origin = format!("https://{name}.example:8443").parse().unwrap();
    Stage::new(name, origin, token).profile(Profile::openai())
}

pub fn target(name: &str) -> Target {
    Target::new(stage(name))
}

pub fn chat() -> Request<Payload> {
    let body = r#"{"model":"org/m","messages":[{"role":"user","content":"a prompt"}]}"#;
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Payload::buffered(body))
        .unwrap()
}

/// Sends a request and reads the response to its end.
pub async fn send<S, B>(service: S, request: Request<Payload>) -> (StatusCode, Bytes)
where
    S: Service<Request<Payload>, Response = http::Response<B>, Error = Infallible>,
    B: BodyExt<Data = Bytes>,
{
    let Ok(response) = service.oneshot(request).await;
    let status = response.status();
    let body = BodyExt::collect(response.into_body()).await;
    (status, body.map(|body| body.to_bytes()).unwrap_or_default())
}

pub fn kinds(spans: &[SpanData]) -> Vec<SpanKind> {
    spans.iter().map(|span| span.span_kind.clone()).collect()
}
