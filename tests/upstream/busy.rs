//! An upstream that is busy or cold, and the wait that its response asks for.

use http::HeaderMap;
use http_body_util::Collected;

use super::*;

const LOADING: &str = r#"{"error":"Model X is currently loading","estimated_time":20.4}"#;

/// A 503 in JSON with a body of these steps.
fn loading(steps: impl IntoIterator<Item = Step>) -> Response<ScriptedBody> {
    Response::builder()
        .status(503)
        .header("content-type", "application/json")
        .body(ScriptedBody::new(steps))
        .unwrap()
}

async fn respond(
    layer: UpstreamLayer,
    request: Request<()>,
    response: Response<ScriptedBody>,
) -> Response<ResponseBody<ScriptedBody>> {
    let response = Arc::new(std::sync::Mutex::new(Some(response)));
    let client = service_fn(move |_: Request<()>| {
        ready(Ok::<_, io::Error>(response.lock().unwrap().take().unwrap()))
    });
    layer.layer(client).oneshot(request).await.unwrap()
}

async fn collect(response: Response<ResponseBody<ScriptedBody>>) -> Collected<Bytes> {
    body(response).collect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_loading_model_passes_byte_for_byte() {
    for size in [1, 7, 1_000] {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-after", HeaderValue::from_static("1"));
        let pieces = LOADING.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        let steps = pieces.flat_map(|piece| [Step::Pending, Step::Bytes(piece)]);
        let steps = steps.chain([Step::Trailers(trailers.clone())]);
        let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "21");
        assert_eq!(response.headers().len(), 2, "{:?}", response.headers());
        let collected = collect(response).await;
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), LOADING);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_body_is_not_read_to_its_end() {
    // The hint lies beyond the bound, and the rest has not even arrived.
    let start = format!("{{\"padding\":\"{}\",", "x".repeat(16 * 1024));
    let steps = [Step::Bytes(Bytes::from(start.clone())), Step::Stall];
    let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
    assert!(!response.headers().contains_key("retry-after"));
    let mut body = body(response);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), start);
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);

    let whole = format!("{{\"padding\":\"{}\",\"estimated_time\":3}}", "x".repeat(40_000));
    let steps =
        whole.as_bytes().chunks(1_000).map(|piece| Step::Bytes(Bytes::copy_from_slice(piece)));
    let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
    assert_eq!(collect(response).await.to_bytes(), whole);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_delays_its_head_for_two_seconds_at_most() {
    let start = Instant::now();
    let steps = [Step::Data(b"{\"error\":"), Step::Stall];
    let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
    assert_eq!((response.status().as_u16(), start.elapsed()), (503, 2 * SECOND));
    let mut body = body(response);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{\"error\":");
    // The deadlines of the body go on.
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 2 * SECOND + 5 * MINUTE);

    let start = Instant::now();
    let layer = UpstreamLayer::new().first_byte_timeout(SECOND);
    let response = respond(layer, request(), loading([Step::Stall])).await;
    assert_eq!((response.status().as_u16(), start.elapsed()), (503, SECOND));
}

#[tokio::test(start_paused = true)]
async fn empty_frames_without_end_are_not_read_for_ever() {
    let steps = std::iter::repeat_with(|| Step::Data(b"")).take(100_000).chain([Step::Stall]);
    let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
    assert_eq!(response.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_breaks_off_for_the_client_too() {
    let log = Log::default();
    let _guard = tracing::dispatcher::set_default(&log.dispatch());
    let steps = [Step::Bytes(Bytes::from_static(LOADING.as_bytes())), Step::Error];
    let response = respond(UpstreamLayer::new(), request(), loading(steps)).await;
    assert_eq!(response.headers()["retry-after"], "21");
    let mut body = body(response);
    assert!(!body.is_end_stream());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), LOADING);
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::Broken);
    assert!(body.frame().await.is_none());
    assert_eq!(log.text().matches("the upstream's body broke off").count(), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn the_announced_length_stays() {
    let mut response = loading([Step::Data(LOADING.as_bytes())]);
    *response.body_mut() =
        ScriptedBody::new([Step::Data(LOADING.as_bytes())]).announce(LOADING.len() as u64);
    let response = respond(UpstreamLayer::new(), request(), response).await;
    let mut body = body(response);
    assert_eq!(body.size_hint().exact(), Some(LOADING.len() as u64));
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_slot_is_given_back_wherever_the_request_ends() {
    let layer = UpstreamLayer::new().max_in_flight(1);
    // While the body is read, and after it was read.
    let client = responding(|| loading([Step::Data(b"{"), Step::Stall]));
    let service = layer.layer(client);
    let mut call = Box::pin(service.clone().oneshot(request()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(layer.in_flight(), 1);
    drop(call);
    assert_eq!(layer.in_flight(), 0);
    let response = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(layer.in_flight(), 1);
    drop(response);
    assert_eq!(layer.in_flight(), 0);

    let response =
        respond(layer.clone(), request(), loading([Step::Data(LOADING.as_bytes())])).await;
    let mut body = body(response);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), LOADING);
    assert_eq!(layer.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_to_head_has_no_body_to_read() {
    let request = Request::head("/").body(()).unwrap();
    let start = Instant::now();
    let response = respond(UpstreamLayer::new(), request, loading([Step::Stall])).await;
    assert_eq!((response.status().as_u16(), start.elapsed()), (503, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn only_429_and_503_are_changed() {
    for status in [200, 301, 400, 402, 408, 413, 424, 425, 500, 502, 504, 529] {
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("retry-after", "1.5, soon")
            .header("retry-after-ms", "1e300")
            .body(ScriptedBody::new([Step::Data(LOADING.as_bytes())]))
            .unwrap();
        let before = response.headers().clone();
        let response = respond(UpstreamLayer::new(), request(), response).await;
        assert_eq!(*response.headers(), before, "{status}");
        assert_eq!(collect(response).await.to_bytes(), LOADING);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_a_layer_further_in_keeps_its_wait() {
    let mut response = loading([Step::Data(LOADING.as_bytes())]);
    response.headers_mut().insert("retry-after", HeaderValue::from_static("300"));
    response.extensions_mut().insert(Rejection::new(Refusal::Overloaded));
    let response = respond(UpstreamLayer::new(), request(), response).await;
    assert_eq!(response.headers()["retry-after"], "300");
}

#[tokio::test(start_paused = true)]
async fn a_paused_endpoint_is_logged() {
    let paused = |status: u16, body: &'static str| {
        Response::builder()
            .status(status)
            .body(ScriptedBody::new([Step::Data(body.as_bytes())]))
            .unwrap()
    };
    for (status, text, logged) in [
        (400, r#"{"error":"Bad Request: Invalid state"}"#, true),
        (400, r#"{"error":"a paused word in a prompt"}"#, false),
        (503, "Service Unavailable", false),
    ] {
        let log = Log::default();
        let _guard = tracing::dispatcher::set_default(&log.dispatch());
        let mut request = request();
        RequestContext::ensure(request.extensions_mut())
            .set_upstream(Arc::from("https://x.endpoints.huggingface.cloud"));
        let response = respond(UpstreamLayer::new(), request, paused(status, text)).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(collect(response).await.to_bytes(), text);
        let log = log.text();
        assert_eq!(log.contains("the endpoint is paused"), logged, "{log}");
        assert!(!logged || log.contains("WARN") && log.contains("x.endpoints.huggingface.cloud"));
    }
}
