//! `Metrics`: names, labels, sums and the number of series, through layers and stacks.

mod cardinality;
mod conventions;
mod dashboard;
mod live;
mod names;
mod page;
mod shared;
mod sums;

use std::{collections::BTreeMap, convert::Infallible, future::Future};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    context::{CacheOutcome, Outcome, RequestContext, Usage},
    metrics::{Metrics, Names},
    secret::{Scrubber, Secret},
};

/// A recorder of Prometheus with the advised buckets.
pub fn recorder(metrics: &Metrics) -> PrometheusRecorder {
    let builder = metrics.buckets().fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).unwrap()
    });
    builder.build_recorder()
}

/// Runs `future` on this thread, whose recorder is `recorder`.
pub fn with<T>(recorder: &PrometheusRecorder, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(recorder, || runtime.block_on(future))
}

/// The series of one scrape: name and labels in their order, and the value.
#[derive(Debug)]
pub struct Scrape {
    pub text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    pub fn of(recorder: &PrometheusRecorder) -> Self {
        let handle = recorder.handle();
        handle.run_upkeep();
        let text = handle.render();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        let series = series.collect();
        Self { text, series }
    }

    pub fn size(&self) -> usize {
        self.series.len()
    }

    /// The value of exactly this series.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        let value = self.series.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in {}", self.text))
    }

    /// The sum of the series of `name` that have all these labels.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = self.series.iter().filter(|(series, _)| {
            let (own, own_labels) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|label| own_labels.contains(label))
        });
        of_name.map(|(_, value)| value).sum()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(|series| series.split('{').next().unwrap())
    }
}

/// What a scripted handler leaves for the record.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Empty for that of a chat.
    pub path: &'static str,
    pub route: Option<&'static str>,
    pub model: Option<String>,
    pub status: u16,
    pub body: &'static str,
    pub outcome: Outcome,
}

impl Script {
    pub fn ok(route: &'static str, model: &str) -> Self {
        let model = Some(model.to_owned());
        Self {
            path: "",
            route: Some(route),
            model,
            status: 200,
            body: "hello",
            outcome: Outcome::default(),
        }
    }
}

/// A service that responds as the script in the extensions of a request says.
pub fn scripted(
    layer: AccessLogLayer,
) -> impl Service<Request<Full<Bytes>>, Response = Response<impl Body<Data = Bytes>>, Error = Infallible>
+ Clone {
    layer.layer(tower::service_fn(|request: Request<_>| async move {
        let script: Script = request.extensions().get::<Script>().unwrap().clone();
        let context = RequestContext::of(request.extensions()).unwrap();
        if let Some(route) = script.route {
            context.set_route(route);
        }
        if let Some(model) = script.model {
            context.set_model(model);
        }
        context.set_outcome(script.outcome);
        let mut response = Response::new(Full::new(Bytes::from_static(script.body.as_bytes())));
        *response.status_mut() = StatusCode::from_u16(script.status).unwrap();
        Ok::<_, Infallible>(response)
    }))
}

pub fn request(script: Script) -> Request<Full<Bytes>> {
    let path = if script.path.is_empty() { "/v1/chat/completions" } else { script.path };
    let mut request = Request::post(path).body(Full::default()).unwrap();
    request.extensions_mut().insert(script);
    request
}

/// Runs these requests to their ends and scrapes.
///
/// The route is that of the program, and the path tells the operation.
pub fn scrape(metrics: Metrics, scripts: impl IntoIterator<Item = Script>) -> Scrape {
    let recorder = recorder(&metrics);
    with(&recorder, async {
        let service = scripted(AccessLogLayer::sink(metrics));
        for script in scripts {
            let Ok(response) = service.clone().oneshot(request(script)).await;
            let _ended = response.into_body().collect().await;
        }
    });
    Scrape::of(&recorder)
}

pub fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Option<Usage> {
    let mut usage = Usage::default();
    usage.prompt_tokens = Some(input);
    usage.completion_tokens = Some(output);
    usage.total_tokens = Some(input + output);
    usage.cached_tokens = Some(cached);
    usage.reasoning_tokens = Some(reasoning);
    Some(usage)
}

/// An outcome that `change` has filled.
pub fn outcome(change: impl FnOnce(&mut Outcome)) -> Outcome {
    let mut outcome = Outcome::default();
    change(&mut outcome);
    outcome
}

#[test]
fn a_request_is_counted_with_its_labels() {
    let served = outcome(|outcome| {
        outcome.attempts = 2;
        outcome.fell_back = true;
        outcome.usage = usage(100, 30, 50, 20);
        outcome.cache = Some(CacheOutcome::Miss);
        outcome.bytes_in = 7;
    });
    let limited = outcome(|outcome| {
        outcome.rejection = Some("throttled");
        outcome.limited_by = Some("per-caller".into());
        outcome.shadow_limited_by = Some("trial".into());
    });
    let scrape = scrape(
        Metrics::new(),
        [
            Script { outcome: served, ..Script::ok("chat", "org/m") },
            Script { status: 429, outcome: limited, ..Script::ok("chat", "org/m") },
            Script { route: None, model: None, status: 404, ..Script::default() },
        ],
    );
    let requests = |labels: &str| format!("tower_inference_requests_total{{{labels}}}");
    for labels in [
        r#"route="chat",model="org/m",status="2xx",outcome="complete",refusal="""#,
        r#"route="chat",model="org/m",status="4xx",outcome="rejected",refusal="throttled""#,
        r#"route="",model="",status="4xx",outcome="complete",refusal="""#,
    ] {
        assert_eq!(scrape.value(&requests(labels)), 1.0);
    }
    let of_model = |name: &str| scrape.value(&format!(r#"{name}{{route="chat",model="org/m"}}"#));
    assert_eq!(of_model("tower_inference_upstream_attempts_total"), 2.0);
    assert_eq!(of_model("tower_inference_fallbacks_total"), 1.0);
    for (kind, tokens) in
        [("input", 70.0), ("cached_input", 30.0), ("output", 30.0), ("reasoning_output", 20.0)]
    {
        let labels = format!("{{route=\"chat\",model=\"org/m\",type=\"{kind}\"}}");
        assert_eq!(scrape.value(&format!("tower_inference_tokens_total{labels}")), tokens);
    }
    // No whole beside its parts.
    assert_eq!(scrape.sum("tower_inference_tokens_total", &[]), 150.0);
    assert_eq!(scrape.sum("tower_inference_cache_requests_total", &[r#"result="miss""#]), 1.0);
    assert_eq!(
        scrape
            .value(r#"tower_inference_limited_requests_total{limit="per-caller",mode="enforced"}"#),
        1.0
    );
    assert_eq!(
        scrape.value(r#"tower_inference_limited_requests_total{limit="trial",mode="shadow"}"#),
        1.0
    );
    assert_eq!(scrape.value(r#"tower_inference_request_bytes_total{route="chat"}"#), 7.0);
    assert_eq!(scrape.value(r#"tower_inference_response_bytes_total{route="chat"}"#), 10.0);
    let duration = "tower_inference_request_duration_seconds_count";
    assert_eq!(scrape.sum(duration, &[r#"outcome="complete""#]), 2.0);
    assert_eq!(scrape.sum("tower_inference_overhead_duration_seconds_count", &[]), 3.0);
    assert_eq!(scrape.value("tower_inference_in_flight_requests"), 0.0);
}

#[test]
fn requests_are_in_flight_until_their_bodies_end() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    let in_flight = || Scrape::of(&recorder).value("tower_inference_in_flight_requests");
    with(&recorder, async {
        let service = scripted(AccessLogLayer::sink(metrics));
        let Ok(first) = service.clone().oneshot(request(Script::ok("chat", "m"))).await;
        let Ok(second) = service.clone().oneshot(request(Script::ok("chat", "m"))).await;
        assert_eq!(in_flight(), 2.0);
        // A client that leaves.
        drop(first);
        assert_eq!(in_flight(), 1.0);
        let _ended = second.into_body().collect().await;
        // A future that is dropped before it is polled.
        drop(service.oneshot(request(Script::ok("chat", "m"))));
    });
    assert_eq!(in_flight(), 0.0);
    let scrape = Scrape::of(&recorder);
    assert_eq!(scrape.sum("tower_inference_requests_total", &[r#"outcome="cancelled""#]), 1.0);
}

#[test]
fn a_model_that_never_succeeds_is_other() {
    let scrape = scrape(
        Metrics::new().max_models(1).models(["org/known"]),
        [
            Script { status: 404, ..Script::ok("chat", "made-up") },
            Script { status: 404, ..Script::ok("chat", "org/known") },
            Script::ok("chat", "org/second"),
            Script::ok("chat", "forged\"} 1\nline"),
        ],
    );
    let requests = |model: &str| {
        scrape.sum("tower_inference_requests_total", &[&format!("model=\"{model}\"")])
    };
    assert_eq!((requests("other"), requests("org/known")), (3.0, 1.0));
    let other = |reason: &str| {
        scrape.value(&format!("tower_inference_other_models_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((other("unproven"), other("full"), other("unprintable")), (1.0, 1.0, 1.0));
    assert!(!scrape.text.contains("made-up") && !scrape.text.contains("forged"), "{}", scrape.text);
}

/// A client can send the upstream's token as the name of a model.
#[test]
fn no_label_has_a_token() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    with(&recorder, async {
        let scrubber = Scrubber::new([Secret::new("hf_secretToken")]);
        let service = scripted(AccessLogLayer::sink(metrics).scrubber(scrubber));
        let Ok(response) = service.oneshot(request(Script::ok("chat", "m-hf_secretToken"))).await;
        let _ended = response.into_body().collect().await;
    });
    let scrape = Scrape::of(&recorder);
    assert_eq!(scrape.sum("tower_inference_requests_total", &[r#"model="[redacted]""#]), 1.0);
    assert!(!scrape.text.contains("hf_secret"), "{}", scrape.text);
}

#[test]
fn tokens_have_the_names_of_open_telemetry() {
    let script = || Script {
        outcome: outcome(|outcome| outcome.usage = usage(100, 30, 50, 20)),
        ..Script::ok("/v1/chat/completions", "org/m")
    };
    let labels = r#"gen_ai_operation_name="chat",gen_ai_provider_name="acme",gen_ai_request_model="org/m",tower_inference_route="/v1/chat/completions""#;
    let scraped = |names| scrape(Metrics::new().names(names).provider("acme"), [script()]);

    let of_1_41 = scraped(Names::OpenTelemetry1_41);
    let usage = |kind: &str| {
        format!("gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type=\"{kind}\"}}")
    };
    assert_eq!((of_1_41.value(&usage("input")), of_1_41.value(&usage("output"))), (100.0, 50.0));
    assert_eq!(of_1_41.sum("tower_inference_cached_input_tokens", &[]), 30.0);

    let latest = scraped(Names::OpenTelemetryLatest);
    assert!(!latest.text.contains("token_usage"), "{}", latest.text);
    let usage = |name: &str| {
        latest.value(&format!(
            "gen_ai_client_inference_usage_{name}{{{labels},gen_ai_token_modality=\"unknown\"}}"
        ))
    };
    assert_eq!((usage("input_tokens"), usage("output_tokens")), (100.0, 50.0));
    let parts = (usage("cache_read_input_tokens"), usage("reasoning_output_tokens"));
    assert_eq!(parts, (30.0, 20.0));
    let of_operation =
        latest.value(&format!("gen_ai_client_inference_operation_input_tokens_sum{{{labels}}}"));
    assert_eq!(of_operation, 100.0);
    // A success has no type of error.
    assert_eq!(latest.value(&format!("gen_ai_server_request_duration_count{{{labels}}}")), 1.0);
}

#[test]
fn error_types_of_open_telemetry_name_the_cause() {
    let rejected = outcome(|outcome| outcome.rejection = Some("throttled"));
    let scrape = scrape(
        Metrics::new().names(Names::OpenTelemetryLatest),
        [
            Script { status: 429, outcome: rejected, ..Script::ok("chat", "m") },
            Script { status: 404, ..Script::ok("chat", "m") },
            Script { status: 500, ..Script::ok("chat", "m") },
        ],
    );
    for error in ["throttled", "404", "failed"] {
        let label = format!("error_type=\"{error}\"");
        assert_eq!(scrape.sum("gen_ai_server_request_duration_count", &[&label]), 1.0, "{error}");
    }
}
