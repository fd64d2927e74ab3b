//! Hourly tokens for a token of the workload. The endpoint is built from the documentation of Hugging
//! Face (trusted publishers) and from RFC 8693.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tower_inference::hf::{SubjectToken, TokenExchange, TokenExchangeError, TokenFault};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const SUBJECT: &str = "eyJhbGciOi.eyJpc3MiOi.c2lnbmF0dXJl";

/// The endpoint of Hugging Face with one trusted publisher.
#[derive(Clone, Default)]
struct Endpoint {
    exchanges: Arc<AtomicUsize>,
    /// Takes the place of the usual response.
    instead: Arc<Mutex<Option<(u16, String)>>>,
    clock: FakeClock,
}

impl Endpoint {
    fn respond_with(&self, status: u16, body: impl Into<String>) {
        *self.instead.lock().unwrap() = Some((status, body.into()));
    }

    fn recover(&self) {
        *self.instead.lock().unwrap() = None;
    }

    /// Exchanges the token of the publisher for the next one.
    fn respond(&self, request: &Request<()>, body: &[u8]) -> Response<Full<Bytes>> {
        let number = self.exchanges.fetch_add(1, Relaxed) + 1;
        let response = |status, body: String| {
            let builder =
                Response::builder().status(status).header(CONTENT_TYPE, "application/json");
            // A client that follows redirects would send the subject token there.
            builder.header(LOCATION, "https://evil.example/").body(Full::from(body)).unwrap()
        };
        if let Some((status, body)) = self.instead.lock().unwrap().clone() {
            return response(status, body);
        }
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/oauth/token"));
        assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(request.headers()[ACCEPT], "application/json");
        let body: Value = serde_json::from_slice(body).unwrap();
        let expected = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": SUBJECT,
            "resource": "your-user-name",
        });
        if body != expected {
            return response(400, r#"{"error": "invalid_grant"}"#.to_owned());
        }
        let token = json!({
            "access_token": format!("hf_oauth_{number}"),
            "token_type": "bearer",
            "expires_in": 3600,
        });
        response(200, token.to_string())
    }

    fn exchange(&self, subject: SubjectToken) -> TokenExchange {
        let endpoint = self.clone();
        let client = service_fn(move |request: Request<Full<Bytes>>| {
            let endpoint = endpoint.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let request = Request::from_parts(head, ());
                assert_eq!(request.uri().host(), Some("huggingface.co"));
                Ok::<_, Infallible>(endpoint.respond(&request, &body))
            }
        });
        TokenExchange::new(client, subject, "your-user-name")
    }

    fn layer(&self, subject: SubjectToken) -> HfTokenLayer {
        let source = TokenSource::exchange(self.exchange(subject));
        HfTokenLayer::new(ROUTER.parse().unwrap(), source.clock(self.clock.shared()))
    }
}

fn subject() -> SubjectToken {
    SubjectToken::fetch(|| ready(Ok::<_, Infallible>(Secret::new(SUBJECT))))
}

/// Returns the token that reached the upstream, or the status of the rejection.
async fn token(layer: &HfTokenLayer) -> Result<String, StatusCode> {
    let sent = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&sent);
    let client = service_fn(move |request: Request<()>| {
        let token = request.headers()["authorization"].to_str().unwrap().replace("Bearer ", "");
        *seen.lock().unwrap() = Some(token);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let response = layer.layer(client).oneshot(Request::new(())).await.unwrap();
    sent.lock().unwrap().take().ok_or_else(|| response.status())
}

async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_the_workload_is_exchanged_and_again_ahead_of_the_expiry() {
    let endpoint = Endpoint::default();
    let layer = endpoint.layer(subject());
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    // 75 % of an hour.
    endpoint.clock.advance(SECOND * 2_699);
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    settle().await;
    assert_eq!(endpoint.exchanges.load(Relaxed), 1);
    endpoint.clock.advance(SECOND * 542);
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    settle().await;
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_2");
    assert_eq!(layer.scrubber().scrub("hf_oauth_1 hf_oauth_2"), "[redacted] [redacted]");
}

#[tokio::test(start_paused = true)]
async fn the_file_of_the_workload_is_read_for_each_exchange() {
    let folder = Folder::new();
    let path = folder.file("token");
    fs::write(&path, "of-yesterday\n").unwrap();
    let endpoint = Endpoint::default();
    let layer = endpoint.layer(SubjectToken::file(&path).unwrap());
    assert_eq!(token(&layer).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    fs::write(&path, format!("{SUBJECT}\n")).unwrap();
    endpoint.clock.advance(SECOND);
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_2");
    // A half-written one keeps its last good token.
    fs::write(&path, "").unwrap();
    endpoint.clock.advance(SECOND * 3_241);
    token(&layer).await.unwrap();
    settle().await;
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_3");

    let error = SubjectToken::file(folder.file("none")).unwrap_err();
    assert_eq!(error.fault, TokenFault::Unreadable(io::ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn the_log_names_the_error_and_what_to_check() {
    let large = format!(r#"{{"access_token": "{}"}}"#, "x".repeat(70_000));
    let cases = [
        (400, r#"{"error": "invalid_grant"}"#, "invalid_grant; check that"),
        (400, r#"{"error": "invalid_grant"}"#, "audience https://huggingface.co"),
        (400, r#"{"error": "invalid_request"}"#, "invalid_request; check that your-user-name"),
        (400, r#"{"error": "hf_echo"}"#, "neither invalid_grant nor invalid_request"),
        (400, "", "neither invalid_grant nor invalid_request"),
        (302, "", "received 302; redirects are not followed"),
        (404, "", "received 404; check the address"),
        (500, "", "received 500"),
        (200, "[", "not a JSON object"),
        (200, "{}", "no access_token"),
        (200, r#"{"access_token": 7}"#, "no access_token"),
        (200, r#"{"access_token": "hf_x", "token_type": "mac"}"#, "token_type is not bearer"),
        (200, r#"{"access_token": "hf_x", "expires_in": "soon"}"#, "expires_in is no time"),
        (200, r#"{"access_token": "hf_x", "expires_in": -1}"#, "expires_in is no time"),
        (200, r#"{"access_token": "hf_x", "expires_in": 0}"#, "had expired"),
        (200, r#"{"access_token": "hf_ x"}"#, "has a space"),
        (200, &*large, "too large"),
    ];
    for (status, body, word) in cases {
        let log = Log::default();
        let guard = tracing::dispatcher::set_default(&log.dispatch());
        let endpoint = Endpoint::default();
        endpoint.respond_with(status, body);
        let layer = endpoint.layer(subject());
        assert_eq!(token(&layer).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
        endpoint.recover();
        endpoint.clock.advance(SECOND);
        assert_eq!(token(&layer).await.unwrap(), "hf_oauth_2");
        drop(guard);
        let text = log.text();
        assert!(text.contains(word), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains(SUBJECT) && !text.contains("hf_"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_respond_costs_the_fetch_timeout() {
    let client = service_fn(|_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let source = TokenSource::exchange(TokenExchange::new(client, subject(), "your-user-name"));
    let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source);
    let started = tokio::time::Instant::now();
    assert_eq!(token(&layer).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(started.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_workloads_function_is_logged_without_its_tokens() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let count = AtomicUsize::new(0);
    let subject = SubjectToken::fetch(move || {
        ready(match count.fetch_add(1, Relaxed) {
            0 => Ok(Secret::new(format!(" {SUBJECT}\n"))),
            _ => Err(format!("sts is down\n{SUBJECT}")),
        })
    });
    let endpoint = Endpoint::default();
    let layer = endpoint.layer(subject);
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    endpoint.clock.advance(SECOND * 3_241);
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    settle().await;
    drop(guard);
    assert!(log.text().contains(r"sts is down\n[redacted]"), "{}", log.text());
    assert_eq!(endpoint.exchanges.load(Relaxed), 1);
}

#[test]
fn the_endpoint_is_https_or_on_this_machine() {
    let exchange = || Endpoint::default().exchange(subject());
    for url in ["https://huggingface.example/oauth/token", "http://127.0.0.1:8080/oauth/token"] {
        assert!(exchange().endpoint(url).is_ok(), "{url}");
    }
    let error = |url| exchange().endpoint(url).unwrap_err();
    assert!(matches!(error("http://huggingface.co/"), TokenExchangeError::InsecureUrl(_)));
    assert!(matches!(error("huggingface.co"), TokenExchangeError::InvalidUrl(_)));
    assert!(matches!(error("https://a:b@huggingface.co"), TokenExchangeError::InvalidUrl(_)));
    assert!(matches!(error("http://169.254.169.254/"), TokenExchangeError::LinkLocalAddress(_)));
}

#[tokio::test]
async fn the_exchange_works_over_a_socket() {
    let body = r#"{"access_token":"hf_oauth_1","token_type":"bearer","expires_in":3600}"#;
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let mut server = wire::RawUpstream::answering(format!("{head}{body}")).await;
    let client = tower_inference::client::HttpsClient::builder().build().unwrap();
    let exchange = TokenExchange::new(client, subject(), "your-user-name");
    let exchange = exchange.endpoint(&format!("http://{}/oauth/token", server.address)).unwrap();
    let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), TokenSource::exchange(exchange));
    assert_eq!(token(&layer).await.unwrap(), "hf_oauth_1");
    let head = server.head().await;
    assert_eq!(head[0], "POST /oauth/token HTTP/1.1");
}

#[tokio::test(start_paused = true)]
async fn no_debug_output_contains_a_token() {
    let endpoint = Endpoint::default();
    let exchange = endpoint.exchange(subject());
    let printed = format!("{exchange:?} {:?}", subject());
    let source = TokenSource::exchange(exchange).clock(endpoint.clock.shared());
    let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source.clone());
    token(&layer).await.unwrap();
    let printed = format!("{printed} {source:?} {layer:?}");
    assert!(!printed.contains(SUBJECT) && !printed.contains("hf_oauth_1"), "{printed}");
}
