//! The settlement of reservations.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Waker},
    time::Duration,
};

use tower::Service;
use tower_inference::{
    access_log::AccessLogLayer,
    context::RequestContext,
    model::Profile,
    record::Record,
    rejection::{Refusal, Rejection, RejectionFormat},
    token_budget::{Weight, Weights},
};

use super::*;

/// Cached and reasoning tokens are parts of the counts that are charged.
#[tokio::test]
async fn parts_of_the_usage_change_no_charge() {
    let parts = r#","cached_tokens":7,"prompt_tokens_details":{"cached_tokens":7},"completion_tokens_details":{"reasoning_tokens":9}}"#;
    for (prompt, completion) in [(30, 10), (1, 1), (0, 9)] {
        let plain = usage(prompt, completion);
        let detailed = format!("{}{parts}}}", plain.strip_suffix("}}").unwrap());
        assert!(serde_json::from_str::<serde_json::Value>(&detailed).is_ok(), "{detailed}");
        let budget = Budget::plenty();
        let expected = budget.charge(chat(), Answer::json(plain)).await;
        assert_eq!(budget.charge(chat(), Answer::json(detailed)).await, expected);
    }
}

#[tokio::test]
async fn the_charge_is_the_upstreams_own_count() {
    let budget = Budget::plenty();
    let (mut counted, mut charged) = (0, 0);
    for seed in 0..300 {
        let mut chance = Chance::of(seed);
        // An answer within its limit of 10.
        let (prompt, completion) = (1 + chance.below(50), 1 + chance.below(10));
        counted += prompt + completion;
        let generate = r#"{"inputs":"abcd","parameters":{"max_new_tokens":10,"details":true}}"#;
        charged += match seed % 6 {
            0 => budget.charge(chat(), Answer::json(usage(prompt, completion))).await,
            1 => {
                let stream = events(completion, Some((prompt, completion)));
                budget.charge(streamed(), Answer::stream(stream)).await
            }
            2 => {
                let body = format!(
                    r#"[{{"generated_text":"x","details":{{"input_length":{prompt},"generated_tokens":{completion}}}}}]"#
                );
                budget.charge(post("/generate", generate), Answer::json(body)).await
            }
            3 => {
                let answer = Answer::json(r#"{"generated_text":"x"}"#)
                    .field("x-prompt-tokens", prompt)
                    .field("x-generated-tokens", completion);
                budget.charge(post("/generate", generate), answer).await
            }
            4 => {
                counted -= completion;
                let body = format!(
                    r#"{{"data":[],"usage":{{"prompt_tokens":{prompt},"total_tokens":{prompt}}}}}"#
                );
                let request = post("/v1/embeddings", r#"{"input":["some","text"]}"#);
                budget.charge(request, Answer::json(body)).await
            }
            _ => {
                counted -= completion;
                let answer = Answer::json("[[0.1]]").field("x-compute-tokens", prompt);
                budget.charge(post("/embed", r#"{"inputs":"text"}"#), answer).await
            }
        };
    }
    assert_eq!(charged, counted);
    assert_eq!(budget.used().await, counted);
}

#[tokio::test]
async fn the_status_determines_the_charge() {
    let budget = Budget::plenty();
    let error = |status| Answer::json(r#"{"error":"no"}"#).status(status);
    for status in [400, 401, 404, 408, 413, 422, 429, 503] {
        assert_eq!(budget.charge(chat(), error(status)).await, 0, "{status}");
    }
    for status in [500, 502, 504] {
        assert_eq!(budget.charge(chat(), error(status)).await, CHAT_PROMPT, "{status}");
    }
    // What does not say what it was: a quarter of its bytes, within what was allowed.
    let short = Answer::json(r#"{"a":12}"#);
    assert_eq!(budget.charge(chat(), short).await, CHAT_PROMPT + 2);
    let long = Answer::json(format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000)));
    assert_eq!(budget.charge(chat(), long).await, CHAT_PROMPT + 10);
}

#[tokio::test]
async fn our_own_rejection_is_free_until_the_upstream_was_called() {
    let budget = Budget::plenty();
    for (attempts, charged) in [(0, 0), (1, CHAT_PROMPT), (3, 3 * CHAT_PROMPT)] {
        let before = budget.used().await;
        let inner = service_fn(move |mut request: Request<Payload>| {
            let context = RequestContext::ensure(request.extensions_mut());
            (0..attempts).for_each(|_| context.add_attempt());
            let responder = RejectionFormat::default().for_request(&request);
            let rejection = Rejection::new(Refusal::UpstreamUnavailable);
            let response = responder.respond::<ScriptedBody>(rejection, &context);
            ready(Ok::<_, Infallible>(response))
        });
        drop(budget.layer.layer(inner).oneshot(chat()).await.unwrap());
        assert_eq!(budget.used().await - before, charged, "{attempts}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_charged_the_prompt() {
    let budget = Budget::of(21);
    let inner = service_fn(|_: Request<Payload>| pending::<Result<Response<ScriptedBody>, ()>>());
    let mut service = budget.layer.layer(inner);
    let mut call = Box::pin(service.call(chat()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(budget.used().await, CHAT_PROMPT + 10);
    drop(call);
    assert_eq!(budget.used().await, CHAT_PROMPT);
    // Not polled at all.
    drop(service.call(streamed_within(4)));
    assert_eq!(budget.used().await, 2 * CHAT_PROMPT);
}

fn streamed_within(tokens: u32) -> Request<Payload> {
    post("/v1/chat/completions", CHAT.replace("10", &tokens.to_string()))
}

#[tokio::test]
async fn an_error_or_a_panic_releases_the_reservation() {
    let budget = Budget::plenty();
    let fails = service_fn(|_: Request<Payload>| ready(Err::<Response<ScriptedBody>, _>("broken")));
    assert_eq!(budget.layer.layer(fails).oneshot(chat()).await.unwrap_err(), "broken");
    assert_eq!(budget.used().await, CHAT_PROMPT);

    let mut in_call = budget.layer.layer(service_fn(
        |_: Request<Payload>| -> Ready<Result<Response<ScriptedBody>, Infallible>> {
            panic!("in call")
        },
    ));
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(in_call.call(chat()))));
    assert!(panicked.is_err());
    assert_eq!(budget.used().await, 2 * CHAT_PROMPT);
}

#[tokio::test]
async fn reservations_never_pin_a_key_at_429() {
    let budget = Budget::of(40);
    for turn in 0..100 {
        let error = Answer::json("{}").status(if turn % 2 == 0 { 400 } else { 503 });
        assert_eq!(budget.charge(chat(), error).await, 0, "{turn}");
        let own = service_fn(|_: Request<Payload>| pending::<Result<Response<ScriptedBody>, ()>>());
        drop(budget.layer.layer(own).oneshot(post("/v1/chat/completions", "{")));
    }
    assert_eq!(budget.charge(chat(), Answer::json(usage(6, 10))).await, 16);
}

#[tokio::test]
async fn parallel_requests_cannot_exceed_their_reservations() {
    let budget = Budget::of(100);
    let inner = service_fn(|_: Request<Payload>| {
        ready(Ok::<_, Infallible>(Answer { frames: vec![], ..Answer::json("") }.give()))
    });
    let service = budget.layer.layer(inner);
    let mut open = Vec::new();
    for _ in 0..50 {
        let response = service.clone().oneshot(chat()).await.unwrap();
        match response.status() {
            StatusCode::OK => open.push(response),
            refused => {
                assert_eq!(refused, 429);
                assert!(response.headers().contains_key("retry-after"));
            }
        }
    }
    // 17 each.
    assert_eq!(open.len(), 5);
}

#[tokio::test]
async fn tokens_beyond_the_reservation_are_debt() {
    let budget = Budget::of(24);
    let answered = budget.charge(chat(), Answer::json(usage(30, 10))).await;
    assert_eq!(answered, 24, "all that there is");
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json(usage(1, 1)).give())));
    let status = async || budget.layer.layer(inner).oneshot(chat()).await.unwrap().status();
    assert_eq!(status().await, 429);
    // One an hour grows: 16 of debt, and the 17 of the next.
    budget.clock.advance(Duration::from_secs(3_600 * (16 + 16)));
    assert_eq!(status().await, 429);
    budget.clock.advance(Duration::from_secs(3_600));
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn a_refund_never_exceeds_the_capacity() {
    let budget = Budget::of(100);
    let body = streamed_within(90);
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json("{}").status(400).give())));
    let response = budget.layer.layer(inner).oneshot(body).await.unwrap();
    // Meanwhile all of it grows back.
    budget.clock.advance(Duration::from_secs(86_400));
    drop(response);
    assert_eq!(budget.used().await, 0);
    assert_eq!(budget.charge(chat(), Answer::json(usage(50, 10))).await, 60);
}

#[tokio::test]
async fn an_outer_retry_is_charged_by_its_own_response() {
    let budget = Budget::plenty();
    let mut first = streamed();
    let context = RequestContext::ensure(first.extensions_mut());
    let mut second = streamed();
    second.extensions_mut().insert(context.clone());
    let whole = Answer::stream(events(5, Some((9, 5))));
    assert_eq!(budget.charge(first, whole).await, 14);
    assert_eq!(context.outcome().generated_tokens, estimate_of(5));
    // The first response leaves neither its usage nor its deltas nor its claim of the tap.
    let cut = Answer { fails: true, ..Answer::stream(events(2, None).replace("[DONE]", "")) };
    assert_eq!(budget.charge(second, cut).await, CHAT_PROMPT + estimate_of(2));
    assert_eq!(context.outcome().usage, None);
}

#[tokio::test]
async fn weights_turn_tokens_into_permits() {
    let mut budget = Budget::plenty();
    let weights =
        Weights::new(Profile::compatible(), Weight::new(100, 100)).model("m", Weight::new(2, 3));
    budget.layer = budget.layer.weights(weights);
    assert_eq!(budget.charge(chat(), Answer::json(usage(7, 9))).await, 2 * 7 + 3 * 9);
    let other = post("/v1/chat/completions", CHAT.replace("\"m\"", "\"other\""));
    assert_eq!(budget.charge(other, Answer::json(usage(1, 1))).await, 200);
}

#[tokio::test]
async fn requests_without_a_body_are_not_charged() {
    let budget = Budget::of(1);
    let list = Request::get("/v1/models").body(Payload::buffered("")).unwrap();
    assert_eq!(budget.charge(list, Answer::json(usage(5, 5))).await, 0);
}

#[tokio::test]
async fn text_is_counted_by_an_access_log_inside_of_the_budget() {
    const DOCUMENT: &str = r#"{"choices":[{"message":{"content":"one two three"}}]}"#;
    let upstream = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json(DOCUMENT).give())));
    let log = AccessLogLayer::sink(|_: &Record<'_>| {});
    let budget = Budget::plenty();
    let service = budget.layer.layer(log.layer(upstream));
    service.oneshot(chat()).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(budget.used().await, CHAT_PROMPT + estimate_of(3));
}

#[tokio::test]
async fn text_that_resembles_usage_does_not_change_the_charge() {
    for text in [r#""usage":{"total_tokens":1}"#, r#"}],"usage":{"a":0}}"#, r#"\"usage\":null"#] {
        let text = serde_json::to_string(text).unwrap();
        let usage = r#""usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19}"#;
        let document = format!(r#"{{"choices":[{{"message":{{"content":{text}}}}}],{usage}}}"#);
        let stream = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":{text}}}}}]}}\n\ndata: {{\"choices\":[],{usage}}}\n\ndata: [DONE]\n\n",
        );
        let budget = Budget::plenty();
        assert_eq!(budget.charge(chat(), Answer::json(document)).await, 19, "{text}");
        assert_eq!(budget.charge(streamed(), Answer::stream(stream)).await, 19, "{text}");
    }
}
