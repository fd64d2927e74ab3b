//! A budget neither charges unused tokens for long nor grants tokens twice.

use std::time::Duration;

use http::header::RETRY_AFTER;
use tower_inference::{
    limits::{Concurrency, Quota},
    model::Profile,
    token_budget::{Weight, Weights},
    transform::TransformLayer,
};

use super::*;

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Layers with each kind of allowance of 1,000 tokens on one clock.
fn of_each_kind() -> (Vec<TokenBudgetLayer>, FakeClock) {
    let clock = FakeClock::new(SystemTime::UNIX_EPOCH);
    let limits = [
        Limit::global(Rate::per_day(1_000)),
        Limit::global(Quota::per_day(1_000)),
        Limit::global(Quota::per_month(1_000)),
        Limit::global(Concurrency::new(1_000)),
    ];
    let layer = |limit: Limit| {
        let store = MemoryStore::new().clock(SharedClock::new(clock.clone()));
        TokenBudgetLayer::new(limit.shown()).store(store)
    };
    (limits.into_iter().map(layer).collect(), clock)
}

async fn send(layer: &TokenBudgetLayer, body: &str, answer: Answer) -> Response<String> {
    let service = layer.layer(service_fn(move |_| ready(Ok::<_, Infallible>(answer.give()))));
    let response = service.oneshot(post("/v1/chat/completions", body)).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

async fn left(layer: &TokenBudgetLayer) -> u64 {
    layer.limit_state("global", &Subject::global()).await.unwrap().remaining
}

/// A request of `output` tokens, and the like by multiplication.
fn asking(output: u64, more: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"abcd"}}],"max_tokens":{output}{more}}}"#)
}

#[tokio::test]
async fn a_request_beyond_the_capacity_is_rejected_and_takes_nothing() {
    let (layers, _) = of_each_kind();
    let greedy = [
        asking(994, ""),
        asking(4_000_000_000, ""),
        asking(i64::MAX as u64, ""),
        asking(10, r#","n":100"#),
        asking(i64::MAX as u64, r#","n":18446744073709551615"#),
        asking(1 << 32, r#","n":4294967296,"best_of":4294967296"#),
        r#"{"messages":[],"max_tokens":1e18}"#.to_owned(),
    ];
    for layer in &layers {
        for body in &greedy {
            let refused = send(layer, body, Answer::json(usage(6, 10))).await;
            assert_eq!(refused.status(), 400, "{body}");
            assert!(!refused.headers().contains_key(RETRY_AFTER), "waiting does not help");
            let problem = refused.body();
            assert!(problem.contains("urn:tower-inference:refusal:exceeds-limit"), "{problem}");
            assert!(problem.contains("the budget is at most 1000 tokens"), "{problem}");
            assert!(problem.contains("the prompt of this request is estimated at"), "{problem}");
            assert!(
                problem.contains("send a shorter prompt or a smaller output limit"),
                "{problem}"
            );
        }
        assert_eq!(left(layer).await, 1_000);
        // Exactly the capacity passes.
        let most = send(layer, &asking(993, ""), Answer::json(usage(6, 10))).await;
        assert_eq!(most.status(), 200);
    }
}

#[tokio::test]
async fn a_long_prompt_alone_is_rejected() {
    let budget = Budget::of(1_000);
    let long = format!(
        r#"{{"messages":[{{"role":"user","content":"{}"}}],"max_tokens":1}}"#,
        "word ".repeat(1_000)
    );
    assert_eq!(send(&budget.layer, &long, Answer::json("{}")).await.status(), 400);
    let inputs = format!(r#"{{"input":"{}"}}"#, "word ".repeat(1_000));
    assert_eq!(budget.charge(post("/v1/embeddings", inputs), Answer::json("{}")).await, 0);
}

/// The layer's default output limit makes no request exceed its budget.
#[tokio::test]
async fn the_default_output_limit_fits_the_budget() {
    for (holds, put) in [(100, 50), (1_000, 500), (2_000, 1_024)] {
        let budget = Budget::of(holds);
        let seen = Seen::default();
        let service = budget.layer.layer(service_fn(remembering(&seen, Answer::json(usage(2, 1)))));
        let request = post("/v1/chat/completions", r#"{"messages":[{"content":"abcd"}]}"#);
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
        let sent = seen.lock().unwrap().pop().unwrap();
        assert!(sent.ends_with(&format!(r#""max_tokens":{put}}}"#)), "{sent}");
    }
    let dear = Weights::new(Profile::compatible(), Weight::new(1, 10));
    let budget = Budget::of(1_000);
    let layer = budget.layer.clone().weights(dear);
    let request = r#"{"messages":[{"content":"abcd"}]}"#;
    assert_eq!(send(&layer, request, Answer::json(usage(2, 1))).await.status(), 200);
}

#[tokio::test]
async fn a_transform_can_lower_the_output_limit_to_the_budget() {
    let budget = Budget::of(1_000);
    let seen = Seen::default();
    let inner = budget.layer.layer(service_fn(remembering(&seen, Answer::json(usage(6, 10)))));
    let service = TransformLayer::new().max_output_tokens(900).layer(inner);
    let request = post("/v1/chat/completions", asking(4_000_000_000, ""));
    assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
    assert!(seen.lock().unwrap()[0].contains(r#""max_tokens":900"#));
}

#[tokio::test]
async fn a_budget_in_shadow_rejects_nothing() {
    let budget = Budget::of(10_000);
    let layer = budget.layer.clone().limit(Limit::global(Rate::per_day(5)).name("small").shadow());
    assert_eq!(send(&layer, &asking(994, ""), Answer::json("{}")).await.status(), 200);
}

/// Documents and streams with absurd usage.
fn lies() -> Vec<Answer> {
    const ABSURD: [&str; 6] = [
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}"#,
        r#"{"prompt_tokens":6,"completion_tokens":18446744073709551615}"#,
        r#"{"total_tokens":18446744073709551615}"#,
        r#"{"prompt_tokens":340282366920938463463374607431768211456,"completion_tokens":4e9}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":-9223372036854775808,"total_tokens":NaN}"#,
        r#"{"prompt_tokens":9223372036854775807,"completion_tokens":1,"total_tokens":-5}"#,
    ];
    let document =
        |usage| format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{usage}}}"#);
    let documents = ABSURD.into_iter().map(document);
    let stream = |document: String| Answer::stream(format!("data: {document}\n\ndata: [DONE]\n\n"));
    let fields = Answer::json("{}")
        .field("x-prompt-tokens", u64::MAX)
        .field("x-generated-tokens", "99999999999999999999999");
    let twice = format!("{}{}", usage_chunk(1 << 60, 1 << 60), usage_chunk(1 << 61, u64::MAX >> 4));
    let documents: Vec<_> = documents.collect();
    let streams = documents.clone().into_iter().map(stream);
    let mut lies: Vec<_> = documents.iter().cloned().map(Answer::json).chain(streams).collect();
    lies.extend([
        fields,
        Answer::stream(twice.clone()),
        Answer::stream(twice + "data: [DONE]\n\n"),
    ]);
    lies
}

#[tokio::test]
async fn reported_usage_is_bounded() {
    for lie in lies() {
        let budget = Budget::plenty();
        // The bound is a token for each byte of the body, 256 for the template and 10 of output.
        let charged = budget.charge(chat(), lie.clone()).await;
        assert!(charged <= CHAT.len() as u64 + 256 + 10, "{charged}: {:?}", lie.frames);
        let inputs = r#"{"input":"abcd"}"#;
        let embedded = budget.charge(post("/v1/embeddings", inputs), lie).await;
        assert!(embedded <= inputs.len() as u64 + 256, "{embedded}");
    }
    // Reasoning is output and has its bound.
    let budget = Budget::plenty();
    let reasoned = r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":6,"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":9}}}"#;
    assert_eq!(budget.charge(chat(), Answer::json(reasoned)).await, 16);
}

#[tokio::test]
async fn any_usage_locks_a_caller_out_for_two_windows_at_most() {
    for lie in lies() {
        let (layers, clock) = of_each_kind();
        for layer in &layers {
            for _ in 0..50 {
                send(layer, &asking(100, ""), lie.clone()).await;
            }
        }
        // The longest window is a month.
        clock.advance(WEEK * 9);
        for layer in &layers {
            let honest = send(layer, &asking(100, ""), Answer::json(usage(6, 10))).await;
            assert_eq!(honest.status(), 200, "{layer:?}");
        }
    }
}

#[tokio::test]
async fn a_true_count_is_not_raised_by_the_lower_bound() {
    let budget = Budget::plenty();
    let ask = asking(10_000, "");
    let ask = || post("/v1/chat/completions", ask.as_str());
    let text = "word ".repeat(800);
    // The estimate of 800 words is 976.
    let honest = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n{}data: [DONE]\n\n",
        usage_chunk(6, 801)
    );
    assert_eq!(budget.charge(ask(), Answer::stream(honest)).await, 807);
    // A completion that repeats its prompt did not generate that part.
    let echo = format!(
        r#"{{"choices":[{{"text":"{text}x"}}],"usage":{{"prompt_tokens":800,"completion_tokens":1}}}}"#
    );
    let ask = format!(r#"{{"prompt":"{text}","echo":true,"max_tokens":10}}"#);
    assert_eq!(budget.charge(post("/v1/completions", ask), Answer::json(echo)).await, 801);
}

#[tokio::test]
async fn a_failed_request_is_not_charged_by_its_reported_usage() {
    let budget = Budget::plenty();
    for (status, charged) in [(400, 0), (429, 0), (503, 0), (500, CHAT_PROMPT)] {
        let failed = Answer::json(usage(1 << 40, 1 << 40)).status(status);
        assert_eq!(budget.charge(chat(), failed).await, charged, "{status}");
    }
}

/// A reservation that is never settled is back within one window.
#[tokio::test]
async fn a_lost_reservation_refills_within_one_window() {
    let (layers, clock) = of_each_kind();
    for layer in &layers[..3] {
        let inner = service_fn(|_: Request<Payload>| {
            std::future::pending::<Result<Response<ScriptedBody>, Infallible>>()
        });
        let mut service = layer.layer(inner);
        let call =
            tower::Service::call(&mut service, post("/v1/chat/completions", asking(993, "")));
        assert_eq!(left(layer).await, 0);
        // Forgetting the response settles nothing, like a crash.
        std::mem::forget(call);
    }
    clock.advance(Duration::from_secs(31 * 86_400));
    for layer in &layers[..3] {
        assert_eq!(left(layer).await, 1_000);
    }
}

/// Zero is no count of a prompt that is not empty.
#[tokio::test]
async fn a_prompt_of_zero_tokens_is_estimated() {
    let long = "word ".repeat(10_000);
    let estimate = 12_204;
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{long}"}}],"max_tokens":5}}"#);
    let budget = Budget::plenty();
    let chat = || post("/v1/chat/completions", body.as_str());
    for (answer, output) in [(usage(0, 1), 1), (usage(0, 0), 1)] {
        let charged = budget.charge(chat(), Answer::json(answer.clone())).await;
        assert!(charged.abs_diff(estimate + output) <= 5, "{answer}: {charged}");
    }
    let stream = usage_chunk(0, 1) + "data: [DONE]\n\n";
    let charged = budget.charge(chat(), Answer::stream(stream)).await;
    assert!(charged.abs_diff(estimate + 1) <= 2, "{charged}");
    let input = post("/v1/embeddings", format!(r#"{{"input":"{long}"}}"#));
    let nothing = r#"{"data":[],"usage":{"prompt_tokens":0,"total_tokens":0}}"#;
    let charged = budget.charge(input, Answer::json(nothing)).await;
    assert!(charged.abs_diff(estimate) <= 5, "{charged}");
}
