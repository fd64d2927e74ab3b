//! Which model of which provider a request reaches: tables, recorded clients, and every way in which
//! an upstream might read the same request.

use std::{borrow::Cow, cell::Cell, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header::CONTENT_TYPE};
use http_body_util::Full;
use proptest::{prelude::*, sample::select};
use serde_json::Value;
use tower_inference::{
    model::{BodyForm, Profile, Provider, ProviderPolicy, Target, TargetError},
    model_rules::{ModelRule, ModelRules},
    payload::{DocumentError, JsonFault, Payload},
    rejection::Refusal,
};

fn request(method: Method, path: &str, payload: Payload) -> Request<Payload> {
    let request = Request::builder().method(method).uri(path);
    request.header(CONTENT_TYPE, "application/json").body(payload).unwrap()
}

fn post(path: &str, body: &str) -> Request<Payload> {
    request(Method::POST, path, Payload::buffered(body.to_owned()))
}

/// What is reached, in the notation of the field.
fn reached(upstream: &Profile, request: &Request<Payload>) -> Result<String, TargetError> {
    upstream.target(request).map(|target| target.to_string())
}

fn check(upstream: &Profile, rows: &[(&str, &str, Result<&str, TargetError>)]) {
    for (path, body, expected) in rows {
        let found = reached(upstream, &post(path, body));
        assert_eq!(found.as_deref().map_err(|error| *error), *expected, "{path} {body}");
    }
}

/// Why the body is no document, of a target that has none because of it.
fn malformed(path: &str, body: &str) -> JsonFault {
    match reached(&Profile::router(), &post(path, body)) {
        Err(TargetError::Body(DocumentError::Malformed(malformed))) => malformed.fault,
        other => panic!("{path} {body}: {other:?}"),
    }
}

const EMPTY: TargetError = TargetError::Body(DocumentError::Empty);
const STREAMED: TargetError = TargetError::Body(DocumentError::Streamed);

const CHAT: &str = "/v1/chat/completions";

// === the router ===

#[test]
fn the_routers_own_routes_reach_the_bodys_model() {
    let rows = [
        (CHAT, r#"{"model":"org/name"}"#, Ok("org/name:fastest")),
        (CHAT, r#"{"model":"org/name:fastest"}"#, Ok("org/name:fastest")),
        (CHAT, r#"{"model":"org/name:cheapest"}"#, Ok("org/name:cheapest")),
        (CHAT, r#"{"model":"org/name:preferred"}"#, Ok("org/name:preferred")),
        (CHAT, r#"{"model":"org/name:together"}"#, Ok("org/name:together")),
        (CHAT, r#"{"model":"org/name:hf-inference"}"#, Ok("org/name:hf-inference")),
        (CHAT, r#"{"messages":[{"model":"x"}],"model":"gpt2:groq"}"#, Ok("gpt2:groq")),
        (CHAT, r#"{"model":"Org/Na.me_1-x:Groq"}"#, Ok("Org/Na.me_1-x:Groq")),
        (CHAT, r#"{"mod\u0065l":"org/n\u0061me:\u0074ogether"}"#, Ok("org/name:together")),
        ("/v1/chat/completions?r=1&model=x", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("https://elsewhere.example/v1/completions", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/completions", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/embeddings", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/responses", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/images/generations", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/audio/speech", r#"{"model":"m:groq"}"#, Ok("m:groq")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_body_without_a_model_has_no_target() {
    let rows = [
        (CHAT, r"{}", Err(TargetError::Missing)),
        (CHAT, r#"{"messages":[]}"#, Err(TargetError::Missing)),
        (CHAT, r#"{"model":null}"#, Err(TargetError::Missing)),
        (CHAT, r#"[{"model":"org/name"}]"#, Err(TargetError::Missing)),
        (CHAT, r#""org/name""#, Err(TargetError::Missing)),
        (CHAT, "", Err(EMPTY)),
    ];
    check(&Profile::router(), &rows);
    assert_eq!(malformed(CHAT, "model=org/name"), JsonFault::ExpectedValue);
    assert_eq!(malformed(CHAT, r#"{"model":"a","model":"b"}"#), JsonFault::DuplicateName);
    assert_eq!(malformed(CHAT, r#"{"model":"a","mod\u0065l":"b"}"#), JsonFault::DuplicateName);
}

#[test]
fn an_invalid_name_has_no_target() {
    let long = format!("{{\"model\":\"{}\"}}", "n".repeat(257));
    let escaped = format!("{{\"model\":\"{}\"}}", "\\u006e".repeat(100_000));
    let word = format!("{{\"model\":\"org/{}\"}}", "n".repeat(97));
    for body in [&*long, &escaped, &word] {
        assert_eq!(reached(&Profile::router(), &post(CHAT, body)), Err(TargetError::Name));
    }
    for model in [
        r#""""#,
        "1",
        "true",
        "[]",
        r#"["org/name"]"#,
        r#"{"id":"org/name"}"#,
        r#""http://127.0.0.1:8080""#,
        r#""https://router.huggingface.co/together""#,
        r#""HTTPS://evil.example""#,
        r#""//evil.example""#,
        r#""http:/evil.example""#,
        r#""/org/name""#,
        r#""org/name/""#,
        r#""org//name""#,
        r#""org/name/x""#,
        r#""../org/name""#,
        r#""org/..""#,
        r#""org/a..b""#,
        r#""..""#,
        r#"".""#,
        r#"".hidden/name""#,
        r#""org\\name""#,
        r#""org/name ""#,
        r#"" org/name""#,
        r#""org/na me""#,
        r#""org/name\n""#,
        r#""org/name\u0000""#,
        r#""org%2fname""#,
        r#""org/name?x=1""#,
        r##""org/name#x""##,
        r#""org/name@main""#,
        r#""org/n\u00e4me""#,
        r#""org\u2215name""#,
        r#""org/name:""#,
        r#"":together""#,
        r#"":""#,
        r#""org/name:together:groq""#,
        r#""org/name:together/v1""#,
        r#""org/name:..""#,
        r#""org/name: together""#,
        r#""org/name:together ""#,
        r#""org:together/name""#,
        r#""*""#,
        r#""org/*""#,
    ] {
        let body = format!("{{\"model\":{model}}}");
        let found = reached(&Profile::router(), &post(CHAT, &body));
        assert_eq!(found, Err(TargetError::Name), "{model}");
    }
}

#[test]
fn a_member_that_some_read_as_the_model_has_no_target() {
    for member in [
        "Model",
        "MODEL",
        "mODEL",
        r"\u004dodel",
        "models",
        "model\u{17f}",
        "MODEL\\u017F",
        "provider",
        "Provider",
        "providers",
        "provider\u{17f}",
        "fallbacks",
        "fallbac\u{212a}\u{17f}",
    ] {
        for body in [
            format!(r#"{{"model":"org/name","{member}":"x"}}"#),
            format!(r#"{{"{member}":"x","model":"org/name"}}"#),
            format!(r#"{{"{member}":null}}"#),
        ] {
            let paths =
                [CHAT, "/hf-inference/models/org/name", "/together/v1/completions", "/fal-ai/x"];
            for path in paths {
                let found = reached(&Profile::router(), &post(path, &body));
                assert_eq!(found, Err(TargetError::Ambiguous), "{path} {body}");
            }
            let found = reached(&Profile::compatible(), &post(CHAT, &body));
            assert_eq!(found, Err(TargetError::Ambiguous), "{body}");
        }
    }
}

#[test]
fn a_path_names_the_model_of_hf_inference() {
    let hf = "org/name:hf-inference";
    let rows = [
        ("/hf-inference/models/org/name", r#"{"inputs":"x"}"#, Ok(hf)),
        ("/hf-inference/models/org/name", "", Ok(hf)),
        ("/hf-inference/models/org/name", "\u{1}\u{2} sound", Ok(hf)),
        ("/hf-inference/models/org/name", "[1,", Ok(hf)),
        ("/hf-inference/models/org/name/pipeline/feature-extraction", "{}", Ok(hf)),
        ("/hf-inference/models/org/name/v1/chat/completions", "{}", Ok(hf)),
        ("/hf-inference/models/org/name/v1/chat/completions", r#"{"model":"org/name"}"#, Ok(hf)),
        ("/hf-inference/models/org/name", r#"{"model":null}"#, Ok(hf)),
        ("/hf-inference/models/org/name", r#"{"model":"org/name:hf-inference"}"#, Ok(hf)),
        ("/hf-inference/models/gpt2", "{}", Ok("gpt2:hf-inference")),
        ("/models/org/name", "{}", Ok(hf)),
        ("/models/gpt2/v1/completions", "{}", Ok("gpt2:hf-inference")),
        ("/models/gpt2/pipeline/sentence-similarity", "{}", Ok("gpt2:hf-inference")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_path_and_a_body_that_disagree_have_no_target() {
    let conflict = Err(TargetError::Conflict);
    let path = "/hf-inference/models/org/name";
    let rows = [
        (path, r#"{"model":"org/other"}"#, conflict),
        (path, r#"{"model":"Org/name"}"#, conflict),
        (path, r#"{"model":"org/name:together"}"#, conflict),
        (path, r#"{"model":"org/name:fastest"}"#, conflict),
        (path, r#"{"model":"http://127.0.0.1:55563/models/gpt2"}"#, conflict),
        ("/models/gpt2/v1/completions", r#"{"model":"gpt3"}"#, conflict),
        (path, r#"{"model":7}"#, Err(TargetError::Name)),
        (path, r#"{"model":""}"#, Err(TargetError::Name)),
        ("/together/v1/completions", r#"{"model":"m:groq"}"#, conflict),
        ("/together/v1/completions", r#"{"model":"m:fastest"}"#, conflict),
        ("/together/v1/completions", r#"{"model":"http://evil.example"}"#, conflict),
        ("/fal-ai/fal-ai/flux", r#"{"model":"m:groq"}"#, conflict),
    ];
    check(&Profile::router(), &rows);
    // What a reader that is less strict might find an object in.
    assert_eq!(malformed(path, r#"{"model":"a","model":"org/name"}"#), JsonFault::DuplicateName);
    assert_eq!(malformed(path, r#" {"model":"a" "#), JsonFault::UnexpectedEnd);
    assert_eq!(malformed(path, "\u{feff}{\"model\":\"a\"}"), JsonFault::ByteOrderMark);
}

#[test]
fn a_provider_has_routes_of_its_own() {
    let name = Err(TargetError::Name);
    let rows = [
        ("/together/v1/chat/completions", r#"{"model":"org/name"}"#, Ok("org/name:together")),
        ("/together/v1/chat/completions", r#"{"model":"m:together"}"#, Ok("m:together")),
        ("/groq/openai/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:groq")),
        ("/cohere/compatibility/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:cohere")),
        (
            "/fireworks-ai/inference/v1/chat/completions",
            r#"{"model":"accounts/fireworks/models/m"}"#,
            Ok("accounts/fireworks/models/m:fireworks-ai"),
        ),
        ("/hf-inference/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:hf-inference")),
        ("/fal-ai/fal-ai/flux/dev", r#"{"prompt":"x"}"#, Ok("*:fal-ai")),
        ("/replicate/v1/models/org/name/predictions", "{}", Ok("*:replicate")),
        ("/replicate/v1/predictions", r#"{"version":"a","model":"m"}"#, Ok("*:replicate")),
        ("/together/", "", Ok("*:together")),
        ("/api/whoami-v2", "", Ok("*:api")),
        ("/together/v1/chat/completions", "{}", Err(TargetError::Missing)),
        ("/together/v1/chat/completions", "", Err(EMPTY)),
        ("/together/v1/chat/completions", r#"{"model":"../m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"/m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"a//m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"a m"}"#, name),
    ];
    check(&Profile::router(), &rows);
    let poll = request(Method::GET, "/fal-ai/flux/requests/1", Payload::default());
    assert_eq!(
        Profile::router().target(&poll).unwrap().provider,
        Provider::Route("fal-ai"),
        "how a provider is asked whether it is done"
    );
}

#[test]
fn an_ambiguous_path_has_no_target() {
    let body = r#"{"model":"org/name"}"#;
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completion%73",
        "/%761/chat/completions",
        "/v1/chat/completions;x",
        "/v1/chat/completions:x",
        "/hf-inference/models/org%2Fname",
        "/hf-inference/models/%2e%2e/name",
        "/hf-inference/models/org/../name",
        "/hf-inference/models/org//name",
        "/hf-inference/models/org/name%00",
        "/hf-inference/../together/v1/chat/completions",
        "/together/..%2fgroq/v1/chat/completions",
        "/together/../groq/v1/chat/completions",
        "/%74ogether/v1/chat/completions",
        "/./v1/models",
        "/..",
    ] {
        for upstream in [Profile::router(), Profile::compatible(), Profile::endpoint("org/name")] {
            assert_eq!(reached(&upstream, &post(path, body)), Err(TargetError::Path), "{path}");
        }
    }
}

#[test]
fn other_routes_reach_no_model() {
    let body = r#"{"model":"org/name:together"}"#;
    let route = Err(TargetError::Route);
    for path in
        ["/", "/v1", "/v1/", "/v1/models", "/v1/files", "/v1/batches", "/v1/chat/completions/"]
    {
        assert_eq!(reached(&Profile::router(), &post(path, body)), route, "{path}");
        assert_eq!(reached(&Profile::compatible(), &post(path, body)), route, "{path}");
    }
    for path in ["/health", "/metrics", "/together", "/models", "/.well-known/x"] {
        assert_eq!(reached(&Profile::router(), &post(path, body)), route, "{path}");
    }
    for path in ["/models/", "/models/a/b/c", "/hf-inference/models/", "/models/a/", "/models/.a/b"]
    {
        let found = reached(&Profile::router(), &post(path, body));
        assert_eq!(found, Err(TargetError::Name), "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in [CHAT, "/hf-inference/models/org/name"] {
            let request = request(method.clone(), path, Payload::buffered(body));
            assert_eq!(reached(&Profile::router(), &request), route, "{method} {path}");
        }
    }
}

#[test]
fn other_spellings_of_a_path_are_other_providers() {
    // Nobody has listed them.
    let body = r#"{"model":"org/name"}"#;
    let rows = [
        ("/V1/chat/completions", body, Ok("*:V1")),
        ("/Together/v1/chat/completions", body, Ok("org/name:Together")),
        ("/HF-Inference/models/org/name", body, Ok("*:HF-Inference")),
        ("/hf-inference/Models/org/name", body, Ok("*:hf-inference")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_streamed_body_names_no_model() {
    let streamed = |path| request(Method::POST, path, Payload::streamed(Full::from("{}")));
    let router = Profile::router();
    for (path, expected) in [
        ("/hf-inference/models/org/name", Ok("org/name:hf-inference")),
        ("/models/gpt2", Ok("gpt2:hf-inference")),
        ("/models/gpt2/pipeline/image-to-image", Ok("gpt2:hf-inference")),
        ("/fal-ai/fal-ai/flux", Ok("*:fal-ai")),
        (CHAT, Err(STREAMED)),
        ("/together/v1/chat/completions", Err(STREAMED)),
        ("/hf-inference/models/org/name/v1/chat/completions", Err(STREAMED)),
        ("/v1/audio/transcriptions", Err(STREAMED)),
    ] {
        let found = reached(&router, &streamed(path));
        assert_eq!(found.as_deref().map_err(|error| *error), expected, "{path}");
    }
    assert_eq!(reached(&Profile::compatible(), &streamed(CHAT)), Err(STREAMED));
    assert_eq!(reached(&Profile::endpoint("m"), &streamed(CHAT)), Ok("m".to_owned()));
}

#[test]
fn a_body_of_another_type_is_not_read_as_json() {
    // A form that is valid JSON as well, and names two models.
    let body = r#"{"model":"org/name","x":"&model=evil&"}"#;
    for media_type in [
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("text/plain"),
        Some("application/json; charset=utf-7"),
        None,
    ] {
        let mut request = post(CHAT, body);
        request.headers_mut().remove(CONTENT_TYPE);
        if let Some(media_type) = media_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        for upstream in [Profile::router(), Profile::compatible()] {
            let found = reached(&upstream, &request);
            assert_eq!(found, Err(TargetError::MediaType), "{media_type:?}");
        }
    }
}

// === servers and endpoints ===

#[test]
fn a_server_has_models_and_no_providers() {
    let rows = [
        (CHAT, r#"{"model":"demo"}"#, Ok("demo")),
        (CHAT, r#"{"model":"org/name"}"#, Ok("org/name")),
        (CHAT, r#"{"model":"llama3:8b"}"#, Ok("llama3:8b")),
        (CHAT, r#"{"model":"ft:gpt-4o-mini:acme::id"}"#, Ok("ft:gpt-4o-mini:acme::id")),
        (CHAT, r#"{"model":"@cf/meta/llama"}"#, Ok("@cf/meta/llama")),
        (CHAT, r#"{"model":"http://evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"Http:evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"ftp:/evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"a/../b"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"/data/model"}"#, Err(TargetError::Name)),
        ("/hf-inference/models/org/name", "{}", Err(TargetError::Route)),
        ("/generate", r#"{"model":"demo"}"#, Err(TargetError::Route)),
    ];
    check(&Profile::compatible(), &rows);
    let added = Profile::compatible().route("/pooling", BodyForm::Reads);
    check(&added, &[("/pooling", r#"{"model":"demo"}"#, Ok("demo"))]);
}

#[test]
fn an_endpoint_ignores_the_bodys_model() {
    let endpoint = Profile::endpoint("org/name");
    for body in [
        "",
        "not json",
        "{}",
        r#"{"model":"tgi"}"#,
        r#"{"model":"http://127.0.0.1:55563/v1"}"#,
        r#"{"model":"a","model":"b","Model":"c"}"#,
        r#"{"model":"evil/model:groq"}"#,
    ] {
        for path in
            [CHAT, "/v1/embeddings", "/", "/generate", "/embed", "/rerank", "/models/org/name"]
        {
            assert_eq!(reached(&endpoint, &post(path, body)).unwrap(), "org/name", "{path} {body}");
        }
    }
    let route = Err(TargetError::Route);
    let rows = [
        ("/_custom_router/set-backends", "{}", route),
        ("/metrics", "", route),
        ("/models/org/other", "{}", route),
        ("/models/org/name/x", "{}", route),
        ("/models/Org/name", "{}", route),
        ("/hf-inference/models/org/name", "{}", route),
        ("/together/v1/chat/completions", "{}", route),
        (
            "/models/org/name/v1/completions",
            r#"{"model":"http://x/models/org/name"}"#,
            Ok("org/name"),
        ),
    ];
    check(&endpoint, &rows);
    let get = request(Method::GET, "/", Payload::default());
    assert_eq!(reached(&endpoint, &get), route.map(str::to_owned));
    let grpc = Profile::endpoint("org/name").route("/tei.v1.Embed/Embed", BodyForm::Unknown);
    assert_eq!(reached(&grpc, &post("/tei.v1.Embed/Embed", "")).unwrap(), "org/name");
}

#[test]
fn names_without_escapes_are_borrowed() {
    let router = Profile::router();
    let plain = post(CHAT, r#"{"model":"org/name:together"}"#);
    let target = router.target(&plain).unwrap();
    assert!(matches!(target.model, Some(Cow::Borrowed("org/name"))));
    assert!(matches!(target.provider, Provider::Named(Cow::Borrowed("together"))));
    assert_eq!(Box::<str>::from(&target), target.to_string().into_boxed_str());
    assert_eq!(Box::<str>::from(&Target::new("m")), Box::<str>::from("m"));
}

#[test]
fn an_error_does_not_repeat_the_request() {
    let all = [
        (TargetError::Path, Refusal::Forbidden),
        (TargetError::Route, Refusal::Forbidden),
        (TargetError::MediaType, Refusal::UnsupportedMediaType),
        (STREAMED, Refusal::UnsupportedMediaType),
        (EMPTY, Refusal::MalformedPayload),
        (TargetError::Missing, Refusal::MalformedPayload),
        (TargetError::Name, Refusal::Forbidden),
        (TargetError::Ambiguous, Refusal::Forbidden),
        (TargetError::Conflict, Refusal::Forbidden),
    ];
    for (error, refusal) in all {
        assert_eq!(error.rejection().refusal(), refusal);
        let said = error.to_string();
        assert_eq!(said, said.to_lowercase());
        assert_eq!(
            std::error::Error::source(&error).is_some(),
            matches!(error, TargetError::Body(_))
        );
    }
}

// === recorded clients ===

/// What each recorded request reaches at the router, and at the endpoint that it was recorded for.
fn expected(
    method: &str,
    target: &str,
    body: &str,
) -> (Result<String, TargetError>, Option<String>) {
    let url = body.contains(r#""model":"http://"#);
    let path = target.split('?').next().unwrap();
    match (method, path.strip_prefix("/models/")) {
        ("GET", _) if path == "/v1/models" => (Err(TargetError::Route), None),
        ("GET", _) => (Ok("*:api".to_owned()), None),
        (_, Some(rest)) => {
            let model = rest.trim_end_matches("/v1/completions").to_owned();
            let routed = format!("{model}:hf-inference");
            (if url { Err(TargetError::Conflict) } else { Ok(routed) }, Some(model))
        }
        (_, None) if url => (Err(TargetError::Name), Some("m".to_owned())),
        (_, None) => (Ok("m:fastest".to_owned()), Some("m".to_owned())),
    }
}

#[test]
fn recorded_requests_have_the_expected_target() {
    let (mut urls, mut count) = (0, 0);
    for client in ["openai", "hf", "js", "curl"] {
        for (name, request, body) in captures(client) {
            let target = request.uri().to_string();
            let (at_router, model) = expected(request.method().as_str(), &target, &body);
            urls += usize::from(body.contains(r#""model":"http://"#));
            count += 1;
            assert_eq!(reached(&Profile::router(), &request), at_router, "{client}/{name}");
            let endpoint = Profile::endpoint(model.as_deref().unwrap_or("m"));
            let at_endpoint = reached(&endpoint, &request).ok();
            assert_eq!(at_endpoint, model, "{client}/{name} at an endpoint");
        }
    }
    assert!(urls >= 10 && count >= 80, "{urls} of {count} name a URL");
}

fn captures(client: &str) -> Vec<(String, Request<Payload>, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let file = fs::read_to_string(folder.join(format!("{client}.json"))).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let mut captures = Vec::new();
    for (name, capture) in file.as_object().unwrap() {
        for recorded in capture["requests"].as_array().unwrap() {
            // Two megabytes are left out of the recording.
            let body = BASE64_STANDARD.decode(recorded["body_b64"].as_str().unwrap());
            let body = Bytes::from(body.unwrap_or_else(|_| vec![b'x'; 2_000_000]));
            let text = String::from_utf8_lossy(&body).into_owned();
            let mut request = Request::new(Payload::buffered(body));
            *request.method_mut() = recorded["method"].as_str().unwrap().parse().unwrap();
            *request.uri_mut() = recorded["target"].as_str().unwrap().parse().unwrap();
            for field in recorded["headers"].as_array().unwrap() {
                let field_name: HeaderName = field[0].as_str().unwrap().parse().unwrap();
                let value = HeaderValue::from_str(field[1].as_str().unwrap()).unwrap();
                request.headers_mut().append(field_name, value);
            }
            captures.push((name.clone(), request, text));
        }
    }
    captures
}

// === what an upstream might read ===

/// A member of the body as it is written, and what it says.
type Member = (&'static str, &'static str);

const NAMES: &[Member] = &[
    ("model", "model"),
    ("model", "model"),
    ("model", "model"),
    ("mod\\u0065l", "model"),
    ("Model", "Model"),
    ("MODEL", "MODEL"),
    ("messages", "messages"),
];
const MODELS: &[&str] = &[
    "good/model",
    "good/model:together",
    "good/model:together",
    "good/model:hf-inference",
    "good/model:groq",
    "good/model:fastest",
    "good/model:together:groq",
    "GOOD/model:together",
    "evil/model:together",
    "evil/model",
    "good/model/..:together",
    "../evil/model:together",
    "http://evil",
    "",
];
const SEGMENTS: &[&str] = &[
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "v1",
    "V1",
    "chat",
    "completions",
    "models",
    "hf-inference",
    "hf-%69nference",
    "good",
    "model",
    "evil",
    "good%2Fmodel",
    "together",
    "groq",
    "pipeline",
    "feature-extraction",
    "openai",
];
const PATHS: &[&str] = &[
    CHAT,
    CHAT,
    "/hf-inference/models/good/model",
    "/hf-inference/models/evil/model",
    "/hf-inference/models/good/model/v1/chat/completions",
    "/models/good/model/pipeline/feature-extraction",
    "/together/v1/chat/completions",
    "/together/openai/v1/chat/completions",
    "/groq/v1/chat/completions",
    "/together/files",
];

fn paths() -> impl Strategy<Value = String> {
    let made_up =
        prop::collection::vec(select(SEGMENTS), 1..8).prop_map(|all| format!("/{}", all.join("/")));
    // One segment put in somewhere, or one taken out.
    let mutated = (select(PATHS), any::<prop::sample::Index>(), select(SEGMENTS), any::<bool>());
    let mutated = mutated.prop_map(|(path, at, segment, put)| {
        let mut segments: Vec<&str> = path.split('/').skip(1).collect();
        let at = at.index(segments.len());
        if put {
            segments.insert(at, segment);
        } else {
            segments[at] = segment;
        }
        format!("/{}", segments.join("/"))
    });
    prop_oneof![select(PATHS).prop_map(str::to_owned), mutated, made_up]
}

fn bodies() -> impl Strategy<Value = Vec<(Member, &'static str)>> {
    prop::collection::vec((select(NAMES), select(MODELS)), 0..3)
}

fn written(body: &[(Member, &str)]) -> String {
    let members = body.iter().map(|((name, _), value)| format!("\"{name}\":\"{value}\""));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Every (model, provider) that some upstream might reach: one that takes the path as it is or
/// decodes it, merges its slashes and resolves its dots; the first of two members or the last;
/// names as they are or folded; path before body or body before path; the first colon or the last.
/// None when it would find no model. Written without a look at the crate's own rules.
fn readings(path: &str, body: &[(Member, &str)]) -> Vec<(String, String)> {
    let mut models = Vec::new();
    for folded in [false, true] {
        let is_model =
            |name: &str| if folded { name.eq_ignore_ascii_case("model") } else { name == "model" };
        let mut all = body.iter().filter(|((_, name), _)| is_model(name)).map(|(_, value)| *value);
        models.extend(all.next());
        models.extend(all.next_back());
    }
    let mut found = Vec::new();
    let mut reached = |model: &str, provider: &str| found.push((model.into(), provider.into()));
    for path in [path.to_owned(), resolved(path)] {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        // Who is reached where the model has no suffix, and the model that the path names.
        let (provider, named) = match segments.as_slice() {
            ["v1", ..] => ("fastest", None),
            ["hf-inference", "models", rest @ ..] | ["models", rest @ ..] => {
                let end = rest.iter().position(|part| matches!(*part, "pipeline" | "v1"));
                ("hf-inference", Some(rest[..end.unwrap_or(rest.len())].join("/")))
            }
            [provider, .., "v1", "chat", "completions"] => (*provider, None),
            [provider, ..] => (*provider, Some("whatever".to_owned())),
            [] => continue,
        };
        if let Some(named) = named {
            reached(&named, provider);
        }
        for model in &models {
            for cut in [model.split_once(':'), model.rsplit_once(':')] {
                let (name, suffix) = cut.unwrap_or((model, provider));
                reached(name, suffix);
                if provider != "fastest" {
                    reached(name, provider);
                }
            }
        }
    }
    found
}

fn resolved(path: &str) -> String {
    let decoded = path.replace("%2e", ".").replace("%2F", "/").replace("%69", "i");
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// The rules, and whether they mean a model of a provider.
type Allowed = (ModelRules, fn(&str, &str) -> bool);

#[test]
fn an_allowed_request_reaches_only_allowed_models_for_every_reader() {
    let one = ModelRule::new(["good/model"]).providers(["together", "hf-inference"]);
    let all = ModelRule::new(["*"]).providers(["together"]);
    let rows: [Allowed; 2] = [
        (ModelRules::new().allow(one), |model, provider| {
            model == "good/model" && matches!(provider, "together" | "hf-inference")
        }),
        (ModelRules::new().allow(all), |_, provider| provider == "together"),
    ];
    for (rules, allowed) in rows {
        let (passed, refused) = readings_of_what_passes_are(&rules, allowed);
        assert!(passed > 300 && refused > 5_000, "{passed} passed, {refused} refused");
    }
}

/// How many requests pass, and how many do not.
fn readings_of_what_passes_are(
    rules: &ModelRules,
    allowed: impl Fn(&str, &str) -> bool,
) -> (u32, u32) {
    let router = Profile::router();
    let (passed, refused) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let checked = runner.run(&(paths(), bodies()), |(path, body)| {
        let request = post(&path, &written(&body));
        let passes = router.target(&request).is_ok_and(|target| rules.allows(&target, None));
        let count = if passes { &passed } else { &refused };
        count.set(count.get() + 1);
        if passes {
            let readings = readings(&path, &body);
            for (model, provider) in &readings {
                let body = written(&body);
                prop_assert!(allowed(model, provider), "{path} {body}: {model} of {provider}");
            }
        }
        Ok(())
    });
    checked.unwrap();
    (passed.get(), refused.get())
}

#[test]
fn policies_have_the_names_of_their_suffixes() {
    for policy in [ProviderPolicy::Fastest, ProviderPolicy::Cheapest, ProviderPolicy::Preferred] {
        let body = format!(r#"{{"model":"m:{}"}}"#, policy.as_str());
        let (router, request) = (Profile::router(), post(CHAT, &body));
        let target = router.target(&request).unwrap();
        assert_eq!(target.provider, Provider::Chosen(policy));
    }
}

#[test]
fn a_body_that_some_read_as_json_is_not_a_picture() {
    let router = Profile::router();
    let json = r#" {"model":"org/other"}"#;
    // As Python's `json.loads` tells them apart, with a mark and without.
    let wide = |mark: bool, width: usize, big: bool| {
        let text = if mark { format!("\u{feff}{json}") } else { json.to_owned() };
        let mut bytes = Vec::new();
        for character in text.chars() {
            let (big_end, little_end) =
                (u32::from(character).to_be_bytes(), u32::from(character).to_le_bytes());
            bytes.extend(if big { &big_end[4 - width..] } else { &little_end[..width] });
        }
        bytes
    };
    for (mark, width, big) in [
        (false, 2, false),
        (false, 2, true),
        (true, 2, false),
        (true, 2, true),
        (false, 4, false),
        (false, 4, true),
        (true, 4, false),
        (true, 4, true),
    ] {
        for path in ["/models/org/name", "/models/org/name/v1/chat/completions", "/fal-ai/flux"] {
            let request = request(Method::POST, path, Payload::buffered(wide(mark, width, big)));
            let found = reached(&router, &request);
            assert!(
                matches!(found, Err(TargetError::Body(_))),
                "{mark} {width} {big} {path}: {found:?}"
            );
        }
    }
}

#[test]
fn a_chat_below_a_model_must_be_json() {
    let router = Profile::router();
    let path = "/hf-inference/models/org/name/v1/chat/completions";
    for (media_type, body) in [
        ("application/json", "// {\n{\"model\":\"org/other\"}"),
        ("application/json", "/**/{\"model\":\"org/other\"}"),
        ("application/x-www-form-urlencoded", "model=org%2Fother"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\ncontent-disposition: form-data; name=model\r\n\r\norg/other\r\n--x--",
        ),
    ] {
        let mut request = post(path, body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let found = reached(&router, &request);
        assert!(found.is_err(), "{body}: {found:?}");
    }
}

#[test]
fn an_added_route_below_a_provider_stays_the_providers() {
    let path = "/novita/v3/openai/chat/completions";
    let router = Profile::router()
        .route(path, BodyForm::Chat)
        .route("/v1/pooling", BodyForm::Reads)
        .route("/pooling", BodyForm::Reads);
    let rows = [
        (path, r#"{"model":"org/name"}"#, Ok("org/name:novita")),
        (path, r#"{"model":"org/name:novita"}"#, Ok("org/name:novita")),
        (path, r#"{"model":"org/name:groq"}"#, Err(TargetError::Conflict)),
        (path, "{}", Err(TargetError::Missing)),
        ("/v1/pooling", r#"{"model":"org/name:groq"}"#, Ok("org/name:groq")),
        ("/pooling", r#"{"model":"org/name"}"#, Ok("org/name:fastest")),
    ];
    check(&router, &rows);
    // Not open to those who may use the model of whichever provider the router picks.
    let rules = ModelRules::new().allow(ModelRule::new(["org/name"]).any_provider());
    let request = post(path, r#"{"model":"org/name"}"#);
    assert!(!rules.allows(&router.target(&request).unwrap(), None));
}
