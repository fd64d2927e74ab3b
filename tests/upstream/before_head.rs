//! Deadlines and errors before the head of the response.

use tower_inference::rejection::RejectionFormat;

use super::*;

#[tokio::test(start_paused = true)]
async fn no_head_within_five_minutes_is_a_504() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let start = Instant::now();
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let refusal = response.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!(refusal, Refusal::UpstreamTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn head_and_total_timeouts_are_settable() {
    for layer in [
        UpstreamLayer::new().head_timeout(SECOND),
        UpstreamLayer::new().total_timeout(SECOND),
        UpstreamLayer::new().head_timeout(Duration::MAX).total_timeout(SECOND),
    ] {
        let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
        let start = Instant::now();
        let response = layer.layer(client).oneshot(request()).await.unwrap();
        assert_eq!((response.status().as_u16(), start.elapsed()), (504, SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeout_never_passes() {
    let layer = UpstreamLayer::new().head_timeout(Duration::MAX).total_timeout(Duration::MAX);
    let client = service_fn(async |_: Request<()>| {
        tokio::time::sleep(10_000 * MINUTE).await;
        Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let response = layer.layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_the_clients_future_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let client = service_fn(|_: Request<()>| {
        let alive = Alive::new(&alive);
        async move {
            let _alive = alive;
            pending::<io::Result<Response<Empty<Bytes>>>>().await
        }
    });
    let mut future = Box::pin(UpstreamLayer::new().layer(client).oneshot(request()));
    assert_eq!(future.as_mut().await.unwrap().status(), 504);
    assert_eq!(alive.load(Relaxed), 0);
    drop(future);
}

/// A client's error that says too much.
#[derive(Debug)]
struct Talkative(io::Error);

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot connect to https://user:hf_secret@host/")
    }
}

impl Error for Talkative {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn a_clients_error_is_a_502_and_its_message_goes_nowhere() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let client = service_fn(|_: Request<()>| {
        let error = Talkative(io::ErrorKind::ConnectionRefused.into());
        ready(Err::<Response<Empty<Bytes>>, _>(error))
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    drop(guard);

    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(context.outcome().rejection, Some("upstream-unavailable"));
    assert_eq!((context.outcome().attempts, context.outcome().upstream_status), (1, None));
    let fields = format!("{:?}", response.headers());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(log.text().contains("WARN"), "{}", log.text());
    assert!(log.text().contains("ConnectionRefused"), "{}", log.text());
    for text in [log.text(), body, fields] {
        assert!(!text.contains("hf_secret") && !text.contains("host/"), "{text}");
    }
}

#[tokio::test]
async fn rejections_have_the_chosen_format() {
    let client = service_fn(|_: Request<()>| ready(Err::<Response<Empty<Bytes>>, _>(fmt::Error)));
    let layer = UpstreamLayer::new().rejections(RejectionFormat::ApiGateway);
    let response = layer.layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.headers()["x-amzn-errortype"], "InternalServerErrorException");
}
