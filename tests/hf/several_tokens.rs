//! Stages with several tokens.

use std::sync::Arc;

use tower_inference::{
    hf::{FetchedToken, Stage, Tokens},
    identity::{Identity, Proof},
    model::Profile,
    payload::Payload,
};

use super::*;

fn value(token: &str) -> TokenSource {
    TokenSource::value(Secret::new(token)).unwrap()
}

fn stage(tokens: impl Into<Tokens>) -> HfTokenLayer {
    let stage = Stage::new("prod", ROUTER.parse().unwrap(), tokens);
    HfTokenLayer::stage(stage.profile(Profile::router()))
}

/// Returns the token that reached the upstream, or the rejection's detail.
async fn token<B>(layer: &HfTokenLayer, request: Request<B>) -> Result<String, String>
where
    B: Send + 'static,
{
    let sent = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&sent);
    let client = service_fn(move |request: Request<B>| {
        let token = request.headers()["authorization"].to_str().unwrap().replace("Bearer ", "");
        *seen.lock().unwrap() = Some(token);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let response = layer.layer(client).oneshot(request).await.unwrap();
    let sent = sent.lock().unwrap().take();
    if let Some(sent) = sent {
        return Ok(sent);
    }
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let rejection = response.extensions().get::<tower_inference::rejection::Rejection>().unwrap();
    assert_eq!(rejection.refusal().slug(), "forbidden");
    Err(rejection.detail().to_owned())
}

/// A request of a caller: issuer and tenant.
fn of(caller: Option<(&str, Option<&str>)>) -> Request<()> {
    let mut request = Request::new(());
    let context = RequestContext::ensure(request.extensions_mut());
    if let Some((issuer, tenant)) = caller {
        let identity = Identity::new(Proof::Jwt, issuer, "subject");
        let identity = match tenant {
            Some(tenant) => identity.with_tenant(tenant),
            None => identity,
        };
        context.set_identity(Arc::new(identity));
    }
    request
}

const IDP: &str = "https://idp.example";

fn by_tenant() -> tower_inference::hf::TenantTokens {
    Tokens::by_tenant()
        .tenant(IDP, "research", value("hf_research"))
        .tenant(IDP, "sales", value("hf_sales"))
        .tenant("https://other.example", "sales", value("hf_others"))
}

#[tokio::test]
async fn each_tenant_has_its_own_token() {
    let layer = stage(by_tenant());
    for (issuer, tenant, expected) in [
        (IDP, "research", "hf_research"),
        (IDP, "sales", "hf_sales"),
        ("https://other.example", "sales", "hf_others"),
    ] {
        assert_eq!(token(&layer, of(Some((issuer, Some(tenant))))).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_caller_without_a_token_of_its_own_is_rejected() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let others = [
        (Some((IDP, Some("finance"))), "your tenant"),
        (Some(("https://other.example", Some("research"))), "your tenant"),
        (Some((IDP, Some(""))), "your tenant"),
        (Some((IDP, None)), "you have none"),
        (None, "you have none"),
    ];
    for (caller, word) in others {
        // A caller that repeats its request does not fill the log.
        let layer = stage(by_tenant());
        token(&layer, of(caller)).await.unwrap_err();
        let detail = token(&layer, of(caller)).await.unwrap_err();
        assert!(detail.contains(word), "{detail}");
        assert!(!detail.contains("finance"), "{detail}");
    }
    drop(guard);
    assert_eq!(log.text().matches("WARN").count(), 5, "{}", log.text());
    assert!(log.text().contains("prod") && log.text().contains("finance of"), "{}", log.text());
    // Unless one is named for all others.
    let layer = stage(by_tenant().otherwise(value("hf_shared")));
    for (caller, _) in others {
        assert_eq!(token(&layer, of(caller)).await.unwrap(), "hf_shared");
    }
    let research = of(Some((IDP, Some("research"))));
    assert_eq!(token(&layer, research).await.unwrap(), "hf_research");
}

#[tokio::test]
async fn an_unavailable_token_is_not_replaced_by_another_one() {
    let down = TokenSource::fetch(|| ready(Err::<FetchedToken, _>("down")));
    let tokens = by_tenant().tenant(IDP, "research", down).otherwise(value("hf_shared"));
    let layer = stage(tokens);
    let client = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let research = of(Some((IDP, Some("research"))));
    let response = layer.layer(client).oneshot(research).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(token(&layer, of(Some((IDP, Some("sales"))))).await.unwrap(), "hf_sales");
    assert!(!layer.is_ready());
}

fn chat(path: &str, body: &'static str) -> Request<Payload> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Payload::buffered(body)).unwrap()
}

const CHAT: &str = "/v1/chat/completions";

fn by_model() -> tower_inference::hf::ModelTokens {
    Tokens::by_model().model("org/small", value("hf_small")).model("org/large", value("hf_large"))
}

#[tokio::test]
async fn each_model_has_its_own_token() {
    let layer = stage(by_model());
    for (path, body, expected) in [
        (CHAT, r#"{"model": "org/small"}"#, "hf_small"),
        (CHAT, r#"{"model": "org/large:together"}"#, "hf_large"),
        ("/hf-inference/models/org/small", r#"{"inputs": "x"}"#, "hf_small"),
    ] {
        assert_eq!(token(&layer, chat(path, body)).await.unwrap(), expected, "{path} {body}");
    }
}

#[tokio::test]
async fn a_model_is_not_forged_past_its_token() {
    let layer = stage(by_model());
    // Names that the client or another layer states beside the request have no effect.
    let mut stated = chat(CHAT, r#"{"model": "org/large"}"#);
    stated.headers_mut().insert("x-model", HeaderValue::from_static("org/small"));
    let context = RequestContext::ensure(stated.extensions_mut());
    context.set_model("org/small");
    context.set_target("org/small");
    assert_eq!(token(&layer, stated).await.unwrap(), "hf_large");
    for body in [
        r#"{"model": "org/other"}"#,
        r#"{"model": "org/small", "model": "org/large"}"#,
        r#"{"model": "org/small", "Model": "org/large"}"#,
        r#"{"model": "org/small", "models": ["org/large"]}"#,
        r#"{"model": ["org/small"]}"#,
        r#"{"model": "org/smal\u006c", "fallbacks": []}"#,
        r#"{}"#,
        "",
        "[",
    ] {
        let detail = token(&layer, chat(CHAT, body)).await.unwrap_err();
        assert!(detail.contains("model"), "{body} {detail}");
    }
    let detail = token(&layer, chat("/v1/%63hat/completions", r#"{"model": "org/small"}"#)).await;
    assert!(detail.unwrap_err().contains("model"));
    // The path decides where the body does not.
    let path = "/hf-inference/models/org/large";
    assert_eq!(token(&layer, chat(path, r#"{"inputs": "x"}"#)).await.unwrap(), "hf_large");
}

#[tokio::test]
async fn a_request_without_a_certain_model_is_rejected() {
    let layer = stage(by_model());
    let list = Request::get("/v1/models").body(Payload::default()).unwrap();
    assert!(token(&layer, list).await.is_err());
    let body = Payload::streamed(Full::from(r#"{"model": "org/small"}"#));
    let streamed = Request::post(CHAT).header("content-type", "application/json").body(body);
    assert!(token(&layer, streamed.unwrap()).await.is_err());
    // Not a payload, which alone is read here.
    let full = Full::<Bytes>::from(r#"{"model": "org/small"}"#);
    assert!(token(&layer, Request::post(CHAT).body(full).unwrap()).await.is_err());
    let layer = stage(by_model().otherwise(value("hf_shared")));
    let list = Request::get("/v1/models").body(Payload::default()).unwrap();
    assert_eq!(token(&layer, list).await.unwrap(), "hf_shared");
    let other = chat(CHAT, r#"{"model": "org/other"}"#);
    assert_eq!(token(&layer, other).await.unwrap(), "hf_shared");
}

#[tokio::test]
async fn an_uncertain_model_has_no_token_although_all_others_have_one() {
    let layer = stage(by_model().otherwise(value("hf_shared")));
    let twice = r#"{"model": "org/other", "model": "org/large"}"#;
    let large = r#"{"model": "org/large"}"#;
    for (path, body) in [
        (CHAT, twice),
        (CHAT, r#"{"Model": "org/large"}"#),
        (CHAT, r#"{"model": "org/large""#),
        ("/v1/%63hat/completions", large),
        ("/v1//chat/completions", large),
        ("/v1/chat/completions/", large),
        ("/V1/chat/completions", large),
        // A route of some servers.
        ("/chat/completions", large),
        ("/v1/other", large),
    ] {
        let detail = token(&layer, chat(path, body)).await.unwrap_err();
        assert!(detail.contains("certain"), "{path} {body} {detail}");
    }
    // llama.cpp reads JSON whatever the type is.
    let mut text = chat(CHAT, large);
    text.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    assert!(token(&layer, text).await.is_err());
    for path in [CHAT, "/chat/completions", "/v1/models", "/v1/other"] {
        let body = Payload::streamed(Full::from(large));
        let streamed = Request::post(path).header("content-type", "application/json").body(body);
        assert!(token(&layer, streamed.unwrap()).await.is_err(), "{path}");
    }
    // Other forms that servers may read: of a field and of gzip.
    for body in ["--x\r\ncontent-disposition: form-data; name=model\r\n\r\norg/large", "\x1f\u{8b}"]
    {
        for path in [CHAT, "/audio/transcriptions", "/v1/other"] {
            assert!(token(&layer, chat(path, body)).await.is_err(), "{path} {body}");
        }
    }
    for (path, body) in [(CHAT, "{}"), (CHAT, ""), ("/v1/other", "{}")] {
        assert_eq!(token(&layer, chat(path, body)).await.unwrap(), "hf_shared", "{path} {body}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_a_payload_gets_no_token_of_another_model() {
    let layer = stage(by_model().otherwise(value("hf_shared")));
    let large = || Full::<Bytes>::from(r#"{"model": "org/large"}"#);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in [CHAT, "/v1/models", "/v1/other"] {
            let request = Request::builder().method(method).uri(path);
            let token = token(&layer, request.body(large()).unwrap()).await;
            assert!(
                token.as_ref().is_err_and(|detail| detail.contains("certain")),
                "{method} {path} {token:?}"
            );
        }
    }
    assert!(token(&layer, Request::post(CHAT).body(()).unwrap()).await.is_err());
    // A request that is read has no model in its body.
    for method in ["GET", "HEAD"] {
        let request = Request::builder().method(method).uri("/v1/models");
        assert_eq!(token(&layer, request.body(large()).unwrap()).await.unwrap(), "hf_shared");
    }
    // The path names the model.
    for (model, expected) in [("org/large", "hf_large"), ("org/other", "hf_shared")] {
        let request = Request::post(format!("/hf-inference/models/{model}"));
        assert_eq!(token(&layer, request.body(large()).unwrap()).await.unwrap(), expected);
    }
    let strict = stage(by_model());
    let request = Request::get("/v1/models").body(large()).unwrap();
    assert!(token(&strict, request).await.is_err());
}

#[tokio::test]
async fn the_model_is_read_below_the_version_of_the_origin() {
    for profile in [Profile::router(), Profile::vllm()] {
        let origin = "https://vllm.internal/v1".parse().unwrap();
        let tokens = by_model().otherwise(value("hf_shared"));
        let stage = Stage::new("prod", origin, tokens).profile(profile);
        let layer = HfTokenLayer::stage(stage);
        for path in ["/chat/completions", CHAT] {
            let large = chat(path, r#"{"model": "org/large"}"#);
            assert_eq!(token(&layer, large).await.unwrap(), "hf_large", "{path}");
        }
        let body = Payload::streamed(Full::from("{}"));
        assert!(
            token(&layer, Request::post("/chat/completions").body(body).unwrap()).await.is_err()
        );
    }
}

#[tokio::test]
async fn the_scrubber_finds_all_tokens_of_the_stage_and_follows_them() {
    let next = Arc::new(Mutex::new("hf_fetched_1"));
    let clock = FakeClock::default();
    let fetched = TokenSource::fetch({
        let next = Arc::clone(&next);
        move || {
            let token = *next.lock().unwrap();
            ready(Ok::<_, Infallible>(FetchedToken::new(Secret::new(token))))
        }
    });
    let fetched = fetched.clock(clock.shared());
    let mut tokens = by_tenant().otherwise(fetched);
    // More than one source remembers.
    for number in 0..20 {
        let tenant = format!("team-{number}");
        tokens = tokens.tenant(IDP, tenant, value(&format!("hf_team_{number}_token")));
    }
    let layer = stage(tokens);
    let scrubber = layer.scrubber();
    assert_eq!(token(&layer, of(None)).await.unwrap(), "hf_fetched_1");
    *next.lock().unwrap() = "hf_fetched_2";
    clock.advance(Duration::from_secs(60));
    token(&layer, of(None)).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(token(&layer, of(None)).await.unwrap(), "hf_fetched_2");
    let mut all = vec!["hf_research".into(), "hf_sales".into(), "hf_others".into()];
    all.extend((1..=2).map(|number| format!("hf_fetched_{number}")));
    all.extend((0..20).map(|number| format!("hf_team_{number}_token")));
    for secret in &all {
        assert!(scrubber.is_in(secret.as_bytes()), "{secret}");
        // The response to one tenant has no token of another one either.
        let response = Response::builder().header("x-echo", secret).body(Empty::<Bytes>::new());
        let response = Mutex::new(Some(response.unwrap()));
        let response = Arc::new(response);
        let client = service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
        });
        let research = of(Some((IDP, Some("research"))));
        let response = layer.layer(client).oneshot(research).await.unwrap();
        assert!(response.headers().is_empty(), "{secret}");
    }
    let printed = format!("{layer:?}");
    assert!(all.iter().all(|secret| !printed.contains(&**secret)), "{printed}");
}
