//! The token in response bodies, with `HfTokenLayer::scrub_bodies`.

use http::HeaderMap;
use http_body::Body as _;

use super::*;

const MASK: &str = "*****************";

fn scrubbing() -> HfTokenLayer {
    layer().scrub_bodies()
}

async fn text<R>(response: Response<ResponseBody<R>>) -> String
where
    R: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn bodies_pass_unsearched_by_default() {
    let response = received(layer(), Response::new(Full::<Bytes>::from(TOKEN))).await;
    assert_eq!(text(response).await, TOKEN);
    let sent =
        sent(layer(), Request::get("/").header("range", "bytes=0-1").body(()).unwrap()).await;
    assert!(!sent.headers().contains_key("accept-encoding"));
    assert!(sent.headers().contains_key("range"));
}

#[tokio::test]
async fn the_token_is_masked_across_the_borders_of_chunks() {
    let whole = format!("data: {{\"echo\": \"Bearer {TOKEN}\"}}\n\ndata: [DONE]\n\n");
    for size in 1..=whole.len() {
        let body = ScriptedBody::chunked(whole.as_bytes(), size);
        let response = received(scrubbing(), Response::new(body)).await;
        assert_eq!(text(response).await, whole.replace(TOKEN, MASK), "{size}");
    }
}

#[tokio::test]
async fn an_announced_length_stays_right() {
    let whole = format!("{{\"error\":\"{TOKEN}\"}}");
    let response = Response::builder()
        .header("content-length", whole.len())
        .header("content-digest", "sha-256=:AA==:")
        .body(Full::<Bytes>::from(whole.clone()))
        .unwrap();
    let response = received(scrubbing(), response).await;
    assert_eq!(response.headers()["content-length"], whole.len().to_string());
    // It would be the digest of another body.
    assert!(!response.headers().contains_key("content-digest"));
    assert_eq!(response.body().size_hint().exact(), Some(whole.len() as u64));
    assert_eq!(text(response).await.len(), whole.len());
}

#[tokio::test]
async fn a_stream_is_not_delayed() {
    let (steps, body) = tokio::sync::mpsc::unbounded_channel();
    let response = received(scrubbing(), Response::new(ScriptedBody::live(body))).await;
    let mut body = Box::pin(response.into_body());
    let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
    for event in [&b"data: one\n\n"[..], b"data: hf_\n\n", b": \n\n"] {
        steps.send(Step::Data(event)).unwrap();
        assert_eq!(next().await, event);
    }
    // Only the start of the token is kept back, until it turns out to be none.
    steps.send(Step::Data(b"data: hf_the")).unwrap();
    assert_eq!(next().await, "data: ");
    steps.send(Step::Data(b"Other\n\n")).unwrap();
    assert_eq!(next().await, "hf_theOther\n\n");
    drop(steps);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_rest_comes_before_the_trailers_and_the_end() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-after", HeaderValue::from_static("1"));
    trailers.insert("x-echo", HeaderValue::from_static(TOKEN));
    let steps = [Step::Data(b"say hf_the"), Step::Trailers(trailers)];
    let response = received(scrubbing(), Response::new(ScriptedBody::new(steps))).await;
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap().len(), 1);
    assert_eq!(body.to_bytes(), "say hf_the");
    // A body that says with its last frame that it ends is not polled again by a server.
    let response = received(scrubbing(), Response::new(Full::<Bytes>::from("say hf_the"))).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "say hf_the");
    assert!(body.is_end_stream() && body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off() {
    let steps = [Step::Data(b"say hf_the"), Step::Error];
    let response = received(scrubbing(), Response::new(ScriptedBody::new(steps))).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "say ");
    body.frame().await.unwrap().unwrap_err();
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn each_response_with_a_token_is_logged_once() {
    for (body, lines) in [(format!("{TOKEN} {TOKEN}\n{TOKEN}"), 1), ("harmless".to_owned(), 0)] {
        let log = Log::default();
        let guard = tracing::dispatcher::set_default(&log.dispatch());
        let body = ScriptedBody::chunked(body.as_bytes(), 5);
        text(received(scrubbing(), Response::new(body)).await).await;
        drop(guard);
        assert_eq!(log.text().matches("WARN").count(), lines, "{}", log.text());
        assert!(!log.text().contains(TOKEN));
        assert_eq!(log.text().contains(ROUTER), lines == 1);
    }
}

#[tokio::test]
async fn the_request_asks_for_a_whole_body_without_a_coding() {
    let request = Request::get("/")
        .header("accept-encoding", "gzip, br")
        .header("range", "bytes=0-10")
        .header("if-range", "\"a\"")
        .body(())
        .unwrap();
    let sent = sent(scrubbing(), request).await;
    assert_eq!(sent.headers().get_all("accept-encoding").iter().count(), 1);
    assert_eq!(sent.headers()["accept-encoding"], "identity");
    assert!(!sent.headers().contains_key("range") && !sent.headers().contains_key("if-range"));
}

#[tokio::test]
async fn a_coded_body_is_rejected() {
    let coded = |coding: &'static str, body: &'static str| {
        Response::builder()
            .header("content-encoding", coding)
            .body(Full::<Bytes>::from(body))
            .unwrap()
    };
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        let response = received(scrubbing(), coded(coding, "body")).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{coding}");
        assert!(!text(response).await.contains("body\""));
        let response = received(layer(), coded(coding, "body")).await;
        assert_eq!(response.status(), StatusCode::OK, "{coding}");
    }
    assert_eq!(received(scrubbing(), coded("identity", "body")).await.status(), StatusCode::OK);
    // The response to HEAD has a coding and no body.
    assert_eq!(received(scrubbing(), coded("gzip", "")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn messages_of_grpc_have_no_coding_either() {
    for (asks, says) in [
        ("grpc-accept-encoding", "grpc-encoding"),
        ("connect-accept-encoding", "connect-content-encoding"),
    ] {
        let request = Request::post("/").header(asks, "gzip").body(()).unwrap();
        assert_eq!(sent(scrubbing(), request).await.headers()[asks], "identity");
        for (coding, status) in [("gzip", 502), ("identity", 200)] {
            let response = Response::builder().header(says, coding);
            let response = response.body(Full::<Bytes>::from("message")).unwrap();
            assert_eq!(received(scrubbing(), response).await.status(), status, "{says}: {coding}");
        }
    }
    let plain = sent(scrubbing(), Request::get("/").body(()).unwrap()).await;
    assert!(!plain.headers().contains_key("grpc-accept-encoding"));
}
