//! The members of a record.

use http::{StatusCode, Version};
use tower_inference::{
    context::{CacheOutcome, TraceId},
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

#[tokio::test]
async fn a_record_has_the_results_of_inner_layers() {
    let log = Log::format(Format::json().more_fields(["http_version", "user_agent"]).unwrap());
    let clock = log.clock.clone();
    let inner = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let clock = clock.clone();
        async move {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
            context.set_identity(Arc::new(
                identity.with_tenant("acme").with_credential_id("key-1").with_claim("email", "e"),
            ));
            context.set_route("chat");
            context.set_stage("prod");
            context.set_model("meta-llama/Llama-3.3-70B-Instruct");
            context.set_target("meta-llama/Llama-3.3-70B-Instruct:together");
            context.set_upstream("https://router.huggingface.co".into());
            let mut usage = Usage::default();
            usage.prompt_tokens = Some(11);
            usage.completion_tokens = Some(22);
            usage.total_tokens = Some(33);
            usage.cached_tokens = Some(4);
            usage.reasoning_tokens = Some(5);
            let mut outcome = context.outcome();
            outcome.attempts = 2;
            outcome.upstream_status = Some(StatusCode::OK);
            outcome.usage = Some(usage);
            outcome.stream_end = Some(StreamEnd::Done);
            outcome.rejection = Some("throttled");
            outcome.limited_by = Some("identity".into());
            outcome.shadow_limited_by = Some("global".into());
            outcome.cache = Some(CacheOutcome::Miss);
            context.set_outcome(outcome);
            request.into_body().collect().await.unwrap();
            clock.advance(Duration::from_micros(1_500));
            Ok::<_, Infallible>(Response::new(ScriptedBody::new([
                Step::Data(b""),
                Step::Data(b"hel"),
                Step::Data(b"lo"),
                Step::Trailers(trailers("0")),
            ])))
        }
    });
    let mut request = Request::post("/v1/chat/completions?key=secret")
        .header("user-agent", "curl/8")
        .header("authorization", "Bearer secret")
        .body(Full::new(Bytes::from("a prompt")))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_request_id(HeaderValue::from_static("id-7"));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    context.set_trace_id(TraceId::from_traceparent(&traceparent.parse().unwrap()).unwrap());

    let mut body = log.layer.layer(inner).oneshot(request).await.unwrap().into_body();
    for _ in 0..4 {
        log.clock.advance(Duration::from_millis(10));
        // The time of day does not matter to how long something took.
        log.clock.set_wall(UNIX_EPOCH);
        body.frame().await.unwrap().unwrap();
    }
    assert!(body.frame().await.is_none());
    drop(body);

    assert_eq!(
        log.record(),
        json!({
            "time": "2026-11-23T09:08:07.006Z",
            "request_id": "id-7",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "principal": {
                "proof": "jwt",
                "issuer": "https://issuer.example",
                "subject": "user-7",
            },
            "tenant": "acme",
            "credential_id": "key-1",
            "method": "POST",
            "path": "/v1/chat/completions",
            "http_version": "1.1",
            "user_agent": "curl/8",
            "route": "chat",
            "stage": "prod",
            "status": 200,
            "grpc_status": 0,
            "refusal": "throttled",
            "limit": "identity",
            "limit_shadow": "global",
            "cache": "miss",
            "outcome": "rejected",
            "bytes_in": 8,
            "bytes_out": 5,
            "head_us": 1_500,
            "first_byte_us": 21_500,
            "total_us": 41_500,
            "upstream": "https://router.huggingface.co",
            "upstream_status": 200,
            "attempts": 2,
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "model_target": "meta-llama/Llama-3.3-70B-Instruct:together",
            "usage": { "prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33, "cached_tokens": 4, "reasoning_tokens": 5 },
            "stream_end": "done",
        })
    );
}

#[test]
fn members_without_a_value_are_left_out() {
    let log = Log::new();
    let mut request = get("/?key=secret");
    for (name, value) in [("user-agent", "curl/8"), ("authorization", "Bearer secret")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(request)).unwrap();
    assert_eq!(
        log.record(),
        json!({
            "time": "2026-11-23T09:08:07.006Z",
            "method": "GET",
            "path": "/",
            "status": 200,
            "outcome": "complete",
            "bytes_in": 0,
            "bytes_out": 0,
            "head_us": 0,
            "total_us": 0,
        })
    );
}

#[test]
fn the_slug_of_a_refusal_is_recorded() {
    let log = Log::new();
    let service = log.layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        let responder = RejectionFormat::Problem.for_request(&request);
        let rejection = Rejection::new(Refusal::InvalidToken);
        responder.respond::<Empty<Bytes>>(rejection, context)
    }));
    let response = now(service.oneshot(get("/"))).unwrap();
    let body = now(response.into_body().collect()).unwrap().to_bytes();
    let record = log.record();
    assert_eq!((&record["refusal"], &record["status"]), (&json!("invalid-token"), &json!(401)));
    assert_eq!(record["bytes_out"], body.len());
}

#[test]
fn a_path_has_no_query_and_an_end() {
    for (path, expected) in [
        ("/a?b=c", "/a".to_owned()),
        ("*", "*".to_owned()),
        ("https://host.example/a/b?c#d", "/a/b".to_owned()),
        (&format!("/{}", "a".repeat(3_000)), format!("/{}", "a".repeat(2_047))),
    ] {
        let log = Log::new();
        let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(get(path))).unwrap();
        assert_eq!(log.record()["path"], expected);
    }
    let log = Log::new();
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    let connect = Request::connect("host.example:443").body(Empty::<Bytes>::new()).unwrap();
    now(service.oneshot(connect)).unwrap();
    assert_eq!(log.record()["path"], "");
}

#[test]
fn long_values_are_cut() {
    let log = Log::format(Format::json().more_fields(["user_agent"]).unwrap());
    let service = log.layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        let long = "é".repeat(300);
        context.set_identity(Arc::new(
            Identity::new(Proof::ApiKey, &*long, &*long)
                .with_tenant(&*long)
                .with_credential_id(&*long),
        ));
        context.set_model(&*long);
        context.set_target(&*long);
        context.set_route(long.clone());
        context.set_stage(long.clone());
        let mut outcome = context.outcome();
        outcome.limited_by = Some((&*long).into());
        outcome.shadow_limited_by = Some((&*long).into());
        context.set_outcome(outcome);
        context.set_upstream(long.into());
        Response::new(Empty::<Bytes>::new())
    }));
    let mut request = get("/");
    *request.method_mut() = "A".repeat(600).parse().unwrap();
    let agent = HeaderValue::try_from("a".repeat(600)).unwrap();
    request.headers_mut().insert("user-agent", agent);
    now(service.oneshot(request)).unwrap();
    let record = log.record();
    for value in [
        &record["method"],
        &record["principal"]["issuer"],
        &record["principal"]["subject"],
        &record["tenant"],
        &record["credential_id"],
        &record["model"],
        &record["model_target"],
        &record["route"],
        &record["stage"],
        &record["limit"],
        &record["limit_shadow"],
        &record["upstream"],
        &record["user_agent"],
    ] {
        assert_eq!(value.as_str().unwrap().len(), 512);
    }
}

#[test]
fn each_version_of_http_has_its_number() {
    for (version, expected) in [
        (Version::HTTP_09, "0.9"),
        (Version::HTTP_10, "1.0"),
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
        (Version::HTTP_3, "3"),
    ] {
        let log = Log::format(Format::json().fields(["http_version"]).unwrap());
        let mut request = get("/");
        *request.version_mut() = version;
        let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(request)).unwrap();
        assert_eq!(log.record()["http_version"], expected);
    }
}

#[test]
fn the_grpc_status_is_that_of_the_trailers_or_of_a_trailers_only_head() {
    for (head, trailer, expected) in [
        (None, Some("0"), json!(0)),
        (Some("16"), None, json!(16)),
        (Some("2"), Some("7"), json!(7)),
        (None, None, Value::Null),
        (None, Some("none"), Value::Null),
        (Some("-1"), None, Value::Null),
    ] {
        let log = Log::new();
        let service = log.layer.layer(answering(move |_| {
            let steps = trailer.map(|status| Step::Trailers(trailers(status)));
            let mut response = Response::new(ScriptedBody::new(steps));
            if let Some(status) = head {
                *response.headers_mut() = trailers(status);
            }
            response
        }));
        let response = now(service.oneshot(get("/"))).unwrap();
        now(response.into_body().collect()).unwrap();
        assert_eq!(log.record()["grpc_status"], expected);
    }
}

#[tokio::test]
async fn bytes_in_are_those_that_were_read() {
    for (reads, expected) in [(0, 0), (1, 3), (2, 3), (3, 5), (4, 5)] {
        let log = Log::new();
        let service = log.layer.layer(service_fn(
            move |request: Request<RequestBody<ScriptedBody>>| async move {
                let mut body = request.into_body();
                for _ in 0..reads {
                    let _frame = body.frame().await;
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            },
        ));
        let steps =
            [Step::Data(b"abc"), Step::Trailers(trailers("0")), Step::Data(b"de"), Step::Error];
        let request = Request::post("/").body(ScriptedBody::new(steps)).unwrap();
        service.oneshot(request).await.unwrap();
        assert_eq!(log.record()["bytes_in"], expected);
    }
}

#[test]
fn the_request_body_passes_untouched() {
    let log = Log::new();
    let service = log.layer.layer(answering(|request: Request<RequestBody<Full<Bytes>>>| {
        let mut body = request.into_body();
        assert!(body.size_hint().exact() == Some(3) && !body.is_end_stream());
        let frame = now(body.frame()).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert!(body.size_hint().exact() == Some(0) && body.is_end_stream());
        Response::new(Empty::<Bytes>::new())
    }));
    let request = Request::post("/").body(Full::new(Bytes::from("abc"))).unwrap();
    now(service.oneshot(request)).unwrap();
}

#[test]
fn two_layers_write_two_records_and_count_once() {
    let (outer, inner) = (Log::new(), Log::new());
    let service = outer.layer.layer(inner.layer.layer(answering(|request: Request<_>| {
        let body: RequestBody<RequestBody<Full<Bytes>>> = request.into_body();
        now(body.collect()).unwrap();
        Response::new(Full::new(Bytes::from("hello")))
    })));
    let request = Request::post("/").body(Full::new(Bytes::from("abc"))).unwrap();
    let response = now(service.oneshot(request)).unwrap();
    now(response.into_body().collect()).unwrap();
    for log in [outer, inner] {
        let record = log.record();
        assert_eq!((&record["bytes_in"], &record["bytes_out"]), (&json!(3), &json!(5)));
    }
}

#[test]
fn the_response_is_announced_to_be_read_unless_usage_is_ignored() {
    let layer = Log::new().layer;
    let ignoring = layer.clone().ignore_usage();
    for (layer, expected) in [(layer, true), (ignoring, false)] {
        let service = layer.layer(answering(move |request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            assert_eq!(context.response_is_read(), expected);
            Response::new(Empty::<Bytes>::new())
        }));
        now(service.oneshot(get("/"))).unwrap();
    }
}

#[test]
fn tokens_of_a_document_are_estimated_for_a_layer_that_announces_it() {
    let document =
        r#"{"choices":[{"message":{"content":"sixteen bytes ok"}}],"usage":{"total_tokens":9}}"#;
    for announced in [false, true] {
        let service = Log::new().layer.layer(answering(move |request: Request<_>| {
            if announced {
                let context = RequestContext::of(request.extensions()).unwrap();
                context.announce_generated_tokens_are_read();
            }
            let response = Response::builder().header("content-type", "application/json");
            response.body(Full::new(Bytes::from(document))).unwrap()
        }));
        let mut request = get("/");
        let context = RequestContext::ensure(request.extensions_mut());
        let response = now(service.oneshot(request)).unwrap();
        now(response.into_body().collect()).unwrap();
        let outcome = context.outcome();
        assert_eq!(outcome.usage.and_then(|usage| usage.total_tokens), Some(9));
        assert_eq!(outcome.generated_tokens, if announced { 4 } else { 0 });
    }
}

#[test]
fn usage_and_the_streams_end_are_read_in_passing() {
    let stream = || {
        let steps = [
            Step::Data(b"data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\nda"),
            Step::Data(b"ta: {\"choices\":[],\"usage\":{\"total_tokens\":12}}\n\n"),
            Step::Data(b"data: [DONE]\n\n"),
        ];
        let response = Response::builder().header("content-type", "text/event-stream");
        response.body(ScriptedBody::new(steps)).unwrap()
    };
    for (usage, method, expected) in [
        (true, Method::POST, (json!({ "total_tokens": 12 }), json!("done"))),
        (true, Method::HEAD, (Value::Null, Value::Null)),
        (false, Method::POST, (Value::Null, Value::Null)),
    ] {
        let log = Log::new();
        let layer = log.layer.clone();
        let layer = if usage { layer } else { layer.ignore_usage() };
        let service = layer.layer(answering(move |_| stream()));
        let request = Request::builder().method(method).body(Empty::<Bytes>::new()).unwrap();
        let response = now(service.oneshot(request)).unwrap();
        now(response.into_body().collect()).unwrap();
        let record = log.record();
        assert_eq!((record["usage"].clone(), record["stream_end"].clone()), expected);
    }
}
