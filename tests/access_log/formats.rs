//! Each set of fields against golden lines, and the choice of fields.

use std::net::SocketAddr;

use http::{StatusCode, Version};
use tower_inference::{
    access_log::{Events, FormatError},
    context::{CacheOutcome, TraceId},
    peer::{ForwardedHeader, PeerAddress},
    record::{GenAiConventions, RecordSink},
};

use super::*;

/// Serves one request with a value for nearly everything.
pub(super) fn serve_full(log: &Log) {
    let clock = log.clock.clone();
    let inner = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let clock = clock.clone();
        async move {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            let identity = Identity::new(Proof::ApiKey, "https://issuer.example", "user 7");
            context.set_identity(Arc::new(
                identity
                    .with_tenant("acme")
                    .with_credential_id("key-1")
                    .with_claim("email", "a@b.example")
                    .with_claim("level", 3),
            ));
            context.set_route("/v1/chat/completions");
            context.set_stage("prod");
            context.set_model("org/model");
            context.set_target("org/model:together");
            context.set_upstream("https://router.huggingface.co".into());
            context.add_value("cost_usd", 0.25);
            context.add_value("batch", "a\"b");
            context.add_value("apiId", "api-1");
            let mut usage = Usage::default();
            usage.prompt_tokens = Some(11);
            usage.completion_tokens = Some(22);
            usage.total_tokens = Some(33);
            usage.cached_tokens = Some(4);
            usage.cache_write_tokens = Some(3);
            usage.reasoning_tokens = Some(5);
            let mut outcome = context.outcome();
            outcome.attempts = 2;
            outcome.upstream_status = Some(StatusCode::OK);
            outcome.usage = Some(usage);
            outcome.stream_end = Some(StreamEnd::Done);
            outcome.cache = Some(CacheOutcome::Miss);
            context.set_outcome(outcome);
            request.into_body().collect().await.unwrap();
            clock.advance(Duration::from_micros(1_500));
            Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Data(b"hello")])))
        }
    });
    let proxies = ["10.0.0.0/8"];
    let peer = PeerAddress::connection().behind(ForwardedHeader::XForwardedFor, proxies);
    let mut request = Request::post("/v1/chat/completions?key=secret")
        .version(Version::HTTP_2)
        .header("user-agent", "curl/8 \"x\"")
        .header("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.9")
        .body(Full::new(Bytes::from("a prompt")))
        .unwrap();
    request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, 1], 4_711)));
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_request_id(HeaderValue::from_static("id-7"));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    context.set_trace_id(TraceId::from_traceparent(&traceparent.parse().unwrap()).unwrap());
    let service = log.layer.clone().client_address(peer.unwrap()).layer(inner);
    let mut body = now(service.oneshot(request)).unwrap().into_body();
    log.clock.advance(Duration::from_millis(10));
    now(body.frame()).unwrap().unwrap();
    log.clock.advance(Duration::from_millis(10));
    assert!(now(body.frame()).is_none());
}

/// Serves one request with as few values as possible.
pub(super) fn serve_least(log: &Log) {
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(get("/"))).unwrap();
}

/// The lines of both requests.
fn lines(format: Format) -> Vec<String> {
    let log = Log::format(format);
    serve_full(&log);
    serve_least(&log);
    log.text().lines().map(str::to_owned).collect()
}

fn joined(parts: &[&str]) -> String {
    parts.concat()
}

#[test]
fn the_own_names_are_those_of_the_default_line() {
    let full = joined(&[
        r#"{"time":"2026-11-23T09:08:07.006Z","request_id":"id-7","#,
        r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
        r#""principal":{"proof":"api-key","issuer":"https://issuer.example","subject":"user 7"},"#,
        r#""tenant":"acme","credential_id":"key-1","client_address":"203.0.113.7","#,
        r#""method":"POST","path":"/v1/chat/completions","#,
        r#""http_version":"2","user_agent":"curl/8 \"x\"","#,
        r#""route":"/v1/chat/completions","stage":"prod","status":200,"cache":"miss","#,
        r#""outcome":"complete","bytes_in":8,"bytes_out":5,"head_us":1500,"#,
        r#""first_byte_us":11500,"total_us":21500,"upstream":"https://router.huggingface.co","#,
        r#""upstream_status":200,"attempts":2,"model":"org/model","#,
        r#""model_target":"org/model:together","usage":{"prompt_tokens":11,"#,
        r#""completion_tokens":22,"total_tokens":33,"cached_tokens":4,"#,
        r#""cache_write_tokens":3,"reasoning_tokens":5},"#,
        r#""stream_end":"done","values":{"cost_usd":0.25,"batch":"a\"b","apiId":"api-1"}}"#,
    ]);
    let least = joined(&[
        r#"{"time":"2026-11-23T09:08:07.027Z","method":"GET","path":"/","http_version":"1.1","#,
        r#""status":200,"outcome":"complete","bytes_in":0,"bytes_out":0,"head_us":0,"total_us":0}"#,
    ]);
    let both = ["http_version", "user_agent"];
    assert_eq!(lines(Format::json().more_fields(both).unwrap()), [full.clone(), least.clone()]);

    let without = |line: &str| {
        line.replace(r#""http_version":"2","user_agent":"curl/8 \"x\"","#, "")
            .replace(r#""http_version":"1.1","#, "")
    };
    assert_eq!(lines(Format::json()), [without(&full), without(&least)]);
    // The line of a sink that is given to the layer as it is.
    let log = Log::new();
    serve_full(&log);
    assert_eq!(log.text().trim_end(), without(&full));
}

#[test]
fn chosen_fields_are_written_in_the_order_of_the_table() {
    let names = ["total_us", "usage.total_tokens", "principal", "status", "values", "status"];
    assert_eq!(
        lines(Format::json().fields(names).unwrap()),
        [
            joined(&[
                r#"{"principal":{"proof":"api-key","issuer":"https://issuer.example","subject":"user 7"},"#,
                r#""status":200,"total_us":21500,"usage":{"total_tokens":33},"#,
                r#""values":{"cost_usd":0.25,"batch":"a\"b","apiId":"api-1"}}"#,
            ]),
            r#"{"status":200,"total_us":0}"#.to_owned(),
        ]
    );
    let none: [&str; 0] = [];
    assert_eq!(lines(Format::json().fields(none).unwrap()), ["{}", "{}"]);
}

#[test]
fn api_gateway_names_have_strings_and_a_dash_for_none() {
    let full = joined(&[
        r#"{"requestId":"id-7","requestTime":"23/Nov/2026:09:08:07 +0000","#,
        r#""requestTimeEpoch":"1795424887006","stage":"prod","httpMethod":"POST","#,
        r#""path":"/v1/chat/completions","protocol":"HTTP/2","#,
        r#""routeKey":"/v1/chat/completions","status":"200","responseLength":"5","#,
        r#""responseLatency":"21","dataProcessed":"13","error.message":"-","#,
        r#""error.responseType":"-","identity.apiKeyId":"key-1","#,
        r#""identity.sourceIp":"203.0.113.7","identity.userAgent":"curl/8 \"x\"","#,
        r#""authorizer.error":"-","authorizer.principalId":"user 7","integration.error":"-","#,
        r#""integration.latency":"-","integration.requestId":"-","integration.status":"200","#,
        r#""xrayTraceId":"1-4bf92f35-77b34da6a3ce929d0e0e4736","#,
        r#""values":{"cost_usd":0.25,"batch":"a\"b","apiId":"api-1"}}"#,
    ]);
    let all = lines(Format::api_gateway());
    assert_eq!(all[0], full);
    let least: Value = serde_json::from_str(&all[1]).unwrap();
    assert_eq!(least["requestId"], "-");
    assert!(least.as_object().unwrap().values().all(Value::is_string));

    let names = [
        "$context.apiId",
        "$context.authorizer.claims.email",
        "$context.authorizer.level",
        "$context.authorizer.claims.none",
        "identity.apiKey",
    ];
    let chosen = lines(Format::api_gateway().fields(names).unwrap());
    let expected = joined(&[
        r#"{"apiId":"api-1","authorizer.claims.email":"a@b.example","authorizer.level":"3","#,
        r#""authorizer.claims.none":"-","identity.apiKey":"-"}"#,
    ]);
    assert_eq!(chosen[0], expected);
}

#[test]
fn a_rejection_has_the_response_type_of_api_gateway() {
    use tower_inference::rejection::{Refusal, Rejection, RejectionFormat};

    for (refusal, authorizer) in
        [(Refusal::ExpiredToken, "expired-token"), (Refusal::Throttled, "-")]
    {
        let names =
            ["error.message", "error.messageString", "error.responseType", "authorizer.error"];
        let log = Log::format(Format::api_gateway().fields(names).unwrap());
        let service = log.layer.layer(answering(move |request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            let responder = RejectionFormat::Problem.for_request(&request);
            responder.respond::<Empty<Bytes>>(Rejection::new(refusal), context)
        }));
        let response = now(service.oneshot(get("/"))).unwrap();
        now(response.into_body().collect()).unwrap();
        assert_eq!(
            log.record(),
            json!({
                "error.message": refusal.title(),
                "error.messageString": format!("\"{}\"", refusal.title()),
                "error.responseType": refusal.gateway_type(),
                "authorizer.error": authorizer,
            })
        );
    }
}

/// Every variable of API Gateway's access log, of REST and of HTTP APIs.
pub(super) const CONTEXT: &str = "
    accountId apiId authorizer.claims.property authorizer.error authorizer.integrationLatency
    authorizer.integrationStatus authorizer.latency authorizer.principalId authorizer.property
    authorizer.requestId authorizer.status authorize.error authorize.latency authorize.status
    authenticate.error authenticate.latency authenticate.status awsEndpointRequestId
    awsEndpointRequestId2 customDomain.basePathMatched dataProcessed domainName domainPrefix
    error.message error.messageString error.responseType error.validationErrorString
    extendedRequestId httpMethod identity.accountId identity.apiKey identity.apiKeyId
    identity.caller identity.clientCert.clientCertPem identity.clientCert.issuerDN
    identity.clientCert.serialNumber identity.clientCert.subjectDN
    identity.clientCert.validity.notAfter identity.clientCert.validity.notBefore
    identity.cognitoAuthenticationProvider identity.cognitoAuthenticationType
    identity.cognitoIdentityId identity.cognitoIdentityPoolId identity.principalOrgId
    identity.sourceIp identity.user identity.userAgent identity.userArn integration.error
    integration.integrationStatus integration.latency integration.requestId integration.status
    integrationErrorMessage integrationLatency integrationStatus path protocol requestId requestTime
    requestTimeEpoch resourceId resourcePath responseLatency responseLength routeKey stage status
    waf.error waf.latency waf.status wafResponseCode webaclArn xrayTraceId
";

#[test]
fn every_variable_of_api_gateway_is_known() {
    let names = || CONTEXT.split_whitespace();
    let format = Format::api_gateway().fields(names()).unwrap();
    let full: Value = serde_json::from_str(&lines(format)[0]).unwrap();
    assert_eq!(full.as_object().unwrap().len(), names().count());
    // A variable without a counterpart is that of the program.
    let unknown = names().filter(|name| full[name] == "-").count();
    assert_eq!(unknown, 51, "{full:#}");
    assert_eq!(full["extendedRequestId"], "id-7");
}

#[test]
fn attributes_of_opentelemetry_have_the_names_of_their_version() {
    let full = joined(&[
        r#"{"timestamp":"2026-11-23T09:08:07.006Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
        r#""http.request.method":"POST","http.request.body.size":8,"#,
        r#""http.response.status_code":200,"http.response.body.size":5,"#,
        r#""http.route":"/v1/chat/completions","http.server.request.duration":0.0215,"#,
        r#""url.path":"/v1/chat/completions","network.protocol.version":"2","#,
        r#""client.address":"203.0.113.7","user_agent.original":"curl/8 \"x\"","#,
        r#""enduser.id":"user 7","server.address":"router.huggingface.co","server.port":443,"#,
        r#""gen_ai.operation.name":"chat","gen_ai.provider.name":"huggingface","#,
        r#""gen_ai.request.model":"org/model","gen_ai.request.stream":true,"#,
        r#""gen_ai.response.time_to_first_chunk":0.0115,"gen_ai.usage.input_tokens":11,"#,
        r#""gen_ai.usage.output_tokens":22,"gen_ai.usage.cache_read.input_tokens":4,"#,
        r#""gen_ai.usage.cache_write.input_tokens":3,"#,
        r#""gen_ai.usage.reasoning.output_tokens":5,"tower_inference.request_id":"id-7","#,
        r#""tower_inference.outcome":"complete","tower_inference.cache":"miss","#,
        r#""tower_inference.principal.proof":"api-key","#,
        r#""tower_inference.principal.issuer":"https://issuer.example","#,
        r#""tower_inference.tenant":"acme","tower_inference.credential_id":"key-1","#,
        r#""tower_inference.stage":"prod","tower_inference.model_target":"org/model:together","#,
        r#""tower_inference.stream_end":"done","tower_inference.attempts":2,"#,
        r#""tower_inference.upstream.status_code":200,"#,
        r#""values":{"cost_usd":0.25,"batch":"a\"b","apiId":"api-1"}}"#,
    ]);
    let least = joined(&[
        r#"{"timestamp":"2026-11-23T09:08:07.027Z","http.request.method":"GET","#,
        r#""http.request.body.size":0,"http.response.status_code":200,"#,
        r#""http.response.body.size":0,"http.server.request.duration":0,"url.path":"/","#,
        r#""network.protocol.version":"1.1","tower_inference.outcome":"complete"}"#,
    ]);
    let renamed = full.replace("cache_write", "cache_creation");
    for (version, full) in [(GenAiConventions::V1_41, &renamed), (GenAiConventions::Latest, &full)]
    {
        assert_eq!(&lines(Format::open_telemetry(version)), &[full.clone(), least.clone()]);
    }

    let cache_writes =
        ["gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"];
    for (version, own, other) in [
        (GenAiConventions::V1_41, cache_writes[0], cache_writes[1]),
        (GenAiConventions::Latest, cache_writes[1], cache_writes[0]),
    ] {
        let unknown = Format::open_telemetry(version).fields([other]);
        assert_eq!(unknown.unwrap_err(), FormatError::UnknownField(other.into()));
        assert!(Format::open_telemetry(version).fields([own]).is_ok());
        // An attribute without a value here has that of the program.
        let name = "gen_ai.response.id";
        let log = Log::format(Format::open_telemetry(version).fields([name]).unwrap());
        let service = log.layer.layer(answering(move |request: Request<_>| {
            RequestContext::of(request.extensions()).unwrap().add_value(name, 25_u32);
            Response::new(Empty::<Bytes>::new())
        }));
        now(service.oneshot(get("/"))).unwrap();
        assert_eq!(log.record(), json!({ name: 25 }));
    }
}

#[test]
fn the_common_log_format_is_that_of_apache() {
    let full = joined(&[
        r#"203.0.113.7 - user\x207 [23/Nov/2026:09:08:07 +0000] "#,
        r#""POST /v1/chat/completions HTTP/2.0" 200 5"#,
    ]);
    let least = r#"- - - [23/Nov/2026:09:08:07 +0000] "GET / HTTP/1.1" 200 -"#;
    assert_eq!(lines(Format::common()), [&full, least]);
    assert_eq!(
        lines(Format::combined()),
        [format!(r#"{full} "-" "curl/8 \"x\"""#), format!(r#"{least} "-" "-""#)]
    );
    assert_eq!(Format::common().fields(["status"]).unwrap_err(), FormatError::FixedFields);

    let log = Log::format(Format::common());
    let pending = service_fn(|_: Request<RequestBody<Empty<Bytes>>>| {
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    });
    drop(log.layer.layer(pending).oneshot(get("/a")));
    let call = log.layer.layer(pending).oneshot(get("/b"));
    let mut call = Box::pin(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(call);
    assert_eq!(log.text(), "- - - [23/Nov/2026:09:08:07 +0000] \"GET /b HTTP/1.1\" 499 -\n");
}

#[test]
fn a_name_cannot_forge_the_fields_after_it() {
    for (subject, expected) in [
        ("", "-"),
        ("a [10/Oct/2000:13:55:36 +0000]", r"a\x20\x5b10/Oct/2000:13:55:36\x20+0000\x5d"),
        ("[\"\\\n", r#"\x5b\"\\\x0a"#),
        ("é\u{202e}", r"é\xe2\x80\xae"),
        // Parsers split at other spaces too.
        ("a\u{a0}b\u{3000}c", r"a\xc2\xa0b\xe3\x80\x80c"),
        ("\u{2003}\u{1680}", r"\xe2\x80\x83\xe1\x9a\x80"),
    ] {
        let log = Log::format(Format::common());
        let service = log.layer.layer(answering(move |request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            context.set_identity(Arc::new(Identity::new(Proof::Jwt, "i", subject)));
            Response::new(Empty::<Bytes>::new())
        }));
        now(service.oneshot(get("/[1]"))).unwrap();
        let rest = r#"[23/Nov/2026:09:08:07 +0000] "GET /[1] HTTP/1.1" 200 -"#;
        assert_eq!(log.text(), format!("- - {expected} {rest}\n"));
    }
}

#[test]
fn no_space_of_a_path_ends_the_words_of_the_request_line() {
    let spaces = (0x80..0x3100).filter_map(char::from_u32).filter(|space| space.is_whitespace());
    for space in spaces {
        let log = Log::format(Format::common());
        serve_path(&log, &format!("/a{space}b"));
        let line = log.text();
        let fields: Vec<_> = line.split_whitespace().collect();
        assert_eq!((fields.len(), fields[5], fields[7]), (10, "\"GET", "HTTP/1.1\""), "{line}");
    }
}

/// Serves a request with any path that a URI takes.
fn serve_path(log: &Log, path: &str) {
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(get(path))).unwrap();
}

#[test]
fn an_unknown_field_is_an_error() {
    let unknown = |name: &str| FormatError::UnknownField(name.into());
    for (format, name) in [
        (Format::json(), "prompt"),
        (Format::json(), "requestId"),
        (Format::json(), "usage."),
        (Format::api_gateway(), "request_id"),
        (Format::api_gateway(), "$context.authorizer."),
        (Format::api_gateway(), "$context."),
        (Format::open_telemetry(GenAiConventions::Latest), "gen_ai.system"),
    ] {
        assert_eq!(format.clone().fields([name]).unwrap_err(), unknown(name));
        assert_eq!(format.more_fields([name]).unwrap_err(), unknown(name));
    }
    assert_eq!(Events::new().fields(["a\nb"]).unwrap_err().to_string(), {
        "`a\\nb` is not a field of this access log"
    });
}

#[test]
fn a_sink_of_your_own_renders_a_format() {
    struct Own(Format, Arc<Mutex<Vec<String>>>);

    impl RecordSink for Own {
        fn record(&self, record: &Record<'_>) {
            self.0.render(record, |line| {
                self.1.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
            });
        }
    }

    let seen = Arc::default();
    let log = Log::of(|_| AccessLogLayer::sink(Own(Format::common(), Arc::clone(&seen))));
    serve_least(&log);
    assert_eq!(
        *seen.lock().unwrap(),
        [r#"- - - [23/Nov/2026:09:08:07 +0000] "GET / HTTP/1.1" 200 -"#]
    );
}
