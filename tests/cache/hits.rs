//! Hits.

use tower_inference::{context::StreamEnd, tap::Tap};

use super::*;

#[tokio::test]
async fn a_repeated_request_is_a_hit() {
    let ((layer, clock), upstream) = (layer(Scope::Identity), Upstream::numbers());
    let first = send(&layer, &upstream, plain()).await;
    assert_eq!(first.headers()["cache-status"], "tower-inference; fwd=miss");
    let first = text(first).await;
    clock.advance(Duration::from_secs(20));

    let request = plain();
    let context = context(&request);
    let second = send(&layer, &upstream, request).await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(second.headers()["cache-status"], "tower-inference; hit; ttl=280");
    assert_eq!(second.headers()["age"], "20");
    assert_eq!(second.headers()["content-length"], first.len().to_string());
    assert_eq!(second.body().size_hint().exact(), Some(first.len() as u64));
    assert_eq!(text(second).await, first);
    assert_eq!((upstream.calls(), context.outcome().cache.unwrap().as_str()), (1, "hit"));

    clock.advance(Duration::from_secs(280));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(1));
}

#[tokio::test]
async fn a_hit_has_all_values_of_a_header() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        for link in ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"] {
            response.headers_mut().append("link", link.parse().unwrap());
        }
        response
    });
    body_of(&layer, &upstream, plain()).await;
    let response = send(&layer, &upstream, plain()).await;
    let links: Vec<_> = response.headers().get_all("link").iter().collect();
    assert_eq!(links, ["<a>; rel=next", "<b>; rel=prev", "<c>; rel=up"]);
    assert_eq!(upstream.calls(), 1);
}

/// The events of a chat with its usage.
fn chat() -> Response<ScriptedBody> {
    let event = |delta: &str, reason: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{{delta}}},\"finish_reason\":{reason}}}]}}\n\n")
    };
    let steps = [
        event(r#""content":"some words of a response""#, "null"),
        event(r#""content":" and some more of them""#, r#""stop""#),
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":10,\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":1},\"completion_tokens_details\":{\"reasoning_tokens\":4}}}\n\n"
            .into(),
        "data: [DONE]\n\n".into(),
    ];
    events(steps.map(|event| Step::Bytes(event.into())))
}

#[tokio::test]
async fn the_results_of_a_hit_come_from_its_entry() {
    let upstream = Upstream::new(|_, request| {
        let is_stream = request.body().bytes().unwrap().ends_with(b"true}");
        if is_stream {
            chat()
        } else {
            json(
                r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"total_tokens":7,"prompt_tokens_details":{"cached_tokens":1},"reasoning_tokens":4}}"#,
            )
        }
    });
    for (request, tokens, end) in
        [(plain as fn() -> _, 7, None), (streamed, 12, Some(StreamEnd::Done))]
    {
        let (layer, _) = layer(Scope::Identity);
        let first = request();
        let leader = context(&first);
        body_of(&layer, &upstream, first).await;

        let second = request();
        let context = context(&second);
        let response = send(&layer, &upstream, second).await;
        // No outer layer reads it again.
        assert!(Tap::claim(&context, response.status(), response.headers()).is_none());
        text(response).await;
        let outcome = context.outcome();
        assert_eq!(outcome.cache.unwrap().as_str(), "hit");
        assert_eq!(outcome.usage.unwrap().total_tokens, Some(tokens));
        let usage = outcome.usage.unwrap();
        assert_eq!((usage.cached_tokens, usage.reasoning_tokens), (Some(1), Some(4)));
        assert_eq!(outcome.stream_end, end);
        assert!(outcome.generated_tokens > 0);
        // The tap of a miss has the same results.
        let outcome_of_miss = {
            let (layer, _) = self::layer(Scope::Identity);
            let request = request();
            let context = self::context(&request);
            let response = send(&layer, &upstream, request).await;
            let mut tap = Tap::claim(&context, response.status(), response.headers()).unwrap();
            for chunk in read(response).await.0 {
                tower_inference::body::Watch::data(&mut tap, &chunk);
            }
            tower_inference::body::Watch::end(&mut tap, tower_inference::body::BodyEnd::Complete);
            context.outcome()
        };
        assert_eq!(outcome.usage, outcome_of_miss.usage);
        assert_eq!(outcome.stream_end, outcome_of_miss.stream_end);
        assert_eq!(outcome.generated_tokens, outcome_of_miss.generated_tokens);
        drop(leader);
    }
}

#[tokio::test]
async fn a_hit_that_is_cut_has_the_results_of_its_part() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| chat());
    body_of(&layer, &upstream, streamed()).await;
    let whole = streamed();
    let all = context(&whole);
    body_of(&layer, &upstream, whole).await;

    let request = streamed();
    let context = context(&request);
    let mut body = send(&layer, &upstream, request).await.into_body();
    assert!(context.outcome().usage.is_none());
    body.frame().await.unwrap().unwrap();
    drop(body);
    let outcome = context.outcome();
    assert_eq!((outcome.usage, outcome.stream_end), (None, Some(StreamEnd::Cut)));
    let tokens = outcome.generated_tokens;
    assert!(0 < tokens && tokens < all.outcome().generated_tokens, "{tokens}");
}

/// An HTTP/2 server may end a response with an empty frame. A server of HTTP/1.1 stops at the
/// `content-length` and does not read it.
#[tokio::test]
async fn an_empty_last_chunk_is_not_waited_for() {
    const COMPLETION: &str = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"total_tokens":7}}"#;
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        let mut response = json(COMPLETION);
        let steps = [Step::Data(COMPLETION.as_bytes()), Step::Data(b"")];
        *response.body_mut() = ScriptedBody::new(steps);
        response
    });
    body_of(&layer, &upstream, plain()).await;
    let request = plain();
    let context = context(&request);
    let mut body = send(&layer, &upstream, request).await.into_body();
    let read = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(read, COMPLETION);
    drop(body);
    assert_eq!(upstream.calls(), 1);
    assert_eq!(context.outcome().usage.unwrap().total_tokens, Some(7));
}
