//! Numbers, however they are written: every layer that reads one from a request gives one verdict.
//!
//! JSON has one kind of number (RFC 8259 section 6), and JSON Schema says that `1.0` is an integer
//! (draft 6 and later, section 6.1.1 of the validation).
//!
//! | reads a number | where | tested |
//! |---|---|---|
//! | `SchemaLayer`, `type: integer` | body | [`every_layer_gives_one_verdict`] |
//! | `ChatLimits::max_choices` | body | the same |
//! | `TransformLayer::max_output_tokens`, `clamp_json` | body | the same |
//! | `TokenBudgetLayer`: limits, answers, images | body | the same, and [`integers_as_doubles`] |
//! | `output_tokens` and the budget | query | [`query_parameters_are_read_alike`] |
//! | `CacheLayer`, a `temperature` of zero | body | [`a_temperature_of_zero_is_zero_however_it_is_written`] |
//! | `Parameter` | query, header | reads texts: the operator's pattern decides |
//! | `Jwt`, `exp`, `nbf`, `iat` | token | `tests/auth/checks.rs` |
//! | `content-length`, `age`, `max-age` | header | digits alone, by the grammar of RFC 9110 and 9111 |
//!
//! A schema of draft 4 is the exception: there `1.0` is no integer, by the draft's own words.

use tower_inference::{
    cache::{CacheLayer, Scope},
    limits::{Limit, Rate, Subject},
    model::Profile,
    payload::Pointer,
    schema::{BuiltInSchemas, ChatLimits, SchemaLayer},
    stack::Stack,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
};

use super::*;

/// Who writes so, a spelling, and the integer that it is.
const SPELLINGS: &[(&str, &str, Option<u64>)] = &[
    ("most", "2", Some(2)),
    // Gson writes numbers of a generic map as doubles (gson#2780, gson#1313, tabnine-intellij#458).
    ("Gson", "2.0", Some(2)),
    // Lua's cjson and PHP's serialize_precision.
    ("many digits", "2.00000000000000", Some(2)),
    ("Java's BigDecimal", "2E+0", Some(2)),
    ("Haskell's aeson", "2.0e0", Some(2)),
    ("exponents", "2e0", Some(2)),
    ("exponents", "20e-1", Some(2)),
    ("exponents", "0.2E1", Some(2)),
    ("no integer", "2.5", None),
    ("no integer", "1e-1", None),
    ("a text", "\"2\"", None),
    ("a truth", "true", None),
    ("below", "0", None),
    ("below", "0.0", None),
    ("below", "-2.0", None),
    ("beyond", "1e400", None),
];

fn budget() -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000_000)).name("tokens"))
}

fn body(n: &str) -> String {
    format!(r#"{{"model":"m","n":{n},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

#[tokio::test]
async fn every_layer_gives_one_verdict() {
    let seen = Seen::default();
    let limits = |n| SchemaLayer::any_body().chat_limits(ChatLimits::new().max_choices(n));
    for (party, spelling, integer) in SPELLINGS {
        let taken = integer.is_some();
        let body = body(spelling);
        let sent_as_it_came = |status: StatusCode, what: &str| {
            let sent = seen.take();
            assert_eq!(status.is_success(), taken, "{what}: {party} {spelling}");
            if taken {
                let sent = String::from_utf8(sent.concat()).unwrap();
                assert!(sent.contains(&format!("\"n\":{spelling},")), "{what}: {sent}");
            } else {
                assert!(sent.is_empty(), "{what}: {spelling}");
            }
        };

        let stack = Stack::new()
            .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()))
            .layer(upstream(&seen));
        sent_as_it_came(answer(stack, chat(&body)).await.0, "schema");

        let stack = Stack::new().token_budget(budget()).layer(upstream(&seen));
        sent_as_it_came(answer(stack, chat(&body)).await.0, "budget");

        // A limit has no lower end: zero answers are within it.
        if !matches!(*spelling, "0" | "0.0") {
            let stack = Stack::new().schema(limits(2)).layer(upstream(&seen));
            sent_as_it_came(answer(stack, chat(&body)).await.0, "limits");
        }
        let stack = Stack::new().schema(limits(1)).layer(upstream(&seen));
        let within = matches!(*spelling, "0" | "0.0");
        assert_eq!(answer(stack, chat(&body)).await.0.is_success(), within, "{spelling}");
        seen.take();
    }
}

/// Tokens and other numbers need not be whole to be held within a range.
#[tokio::test]
async fn edits_hold_numbers_by_their_value() {
    let seen = Seen::default();
    for (came, went) in [
        ("256", "256"),
        ("256.0", "256.0"),
        ("2.56e2", "2.56e2"),
        ("257.0", "256"),
        ("2.57E2", "256"),
        ("1e400", "256"),
    ] {
        let pointer: Pointer = "/max_tokens".parse().unwrap();
        for layer in [
            TransformLayer::new().max_output_tokens(256),
            TransformLayer::new().clamp_json(pointer, 1..=256),
        ] {
            let stack = Stack::new().transform(layer).layer(upstream(&seen));
            let body = |tokens| format!(r#"{{"messages":[],"max_tokens":{tokens}}}"#);
            assert_eq!(answer(stack, chat(&body(came))).await.0, StatusCode::OK, "{came}");
            assert_eq!(seen.take(), [body(went)], "{came}");
        }
    }
}

#[tokio::test]
async fn integers_as_doubles() {
    let body = r#"{"model":"m","n":1.0,"max_tokens":256.0,"seed":7.0,"top_logprobs":0.0,"logprobs":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let seen = Seen::default();
    let checked = Stack::new()
        .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()));
    assert_eq!(answer(checked.clone().layer(upstream(&seen)), chat(body)).await.0, StatusCode::OK);
    assert_eq!(seen.take(), [body]);

    let budget = budget();
    let used = async || {
        let state = budget.limit_state("tokens", &Subject::global()).await.unwrap();
        1_000_000 - state.remaining
    };
    // While the upstream has it, what stands is the reservation.
    let held = checked.clone().token_budget(budget.clone());
    let silent = service_fn(|_: Request<Payload>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let mut call = Box::pin(held.layer(silent).oneshot(chat(body)));
    let reserved = tokio::select! {
        biased;
        _ = &mut call => panic!("nobody answers"),
        () = tokio::task::yield_now() => used().await,
    };
    let integers = body.replace(".0", "");
    let plain = TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000_000)).name("tokens"));
    let silent = service_fn(|_: Request<Payload>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let mut other = Box::pin(
        checked.clone().token_budget(plain.clone()).layer(silent).oneshot(chat(&integers)),
    );
    let expected = tokio::select! {
        biased;
        _ = &mut other => panic!("nobody answers"),
        () = tokio::task::yield_now() => {
            1_000_000 - plain.limit_state("tokens", &Subject::global()).await.unwrap().remaining
        }
    };
    assert_eq!(reserved, expected);
    // One answer of 256 tokens, and the prompt.
    assert!((257..=290).contains(&reserved), "{reserved}");
    drop((call, other));

    let stack = checked.token_budget(budget.clone()).layer(upstream(&seen));
    assert_eq!(answer(stack, chat(body)).await.0, StatusCode::OK);
    assert_eq!(seen.take(), [body]);
}

/// Hugging Face's inference toolkit takes the query for `parameters`.
#[tokio::test]
async fn query_parameters_are_read_alike() {
    let seen = Seen::default();
    let edits = TransformLayer::new().max_output_tokens(256);
    for (query, passes) in [
        ("max_new_tokens=256", true),
        ("max_new_tokens=256.0", true),
        ("max_new_tokens=2.56e2", true),
        ("max_new_tokens=257.0", false),
        ("max_new_tokens=256.5", false),
        ("max_new_tokens=0.0", false),
        ("max_new_tokens=many", false),
    ] {
        let stack = Stack::new().transform(edits.clone()).layer(upstream(&seen));
        let path = format!("/models/gpt2?{query}");
        let request = post(&path, "application/json", r#"{"inputs":"a"}"#);
        let (status, said) = answer(stack, request).await;
        assert_eq!(status.is_success(), passes, "{query}");
        if !passes {
            let message = "/query/max_new_tokens: must be a number of at least 1 and at most 256";
            assert_eq!((status.as_u16(), &said["error"]["message"]), (400, &message.into()));
        }
    }
}

#[tokio::test]
async fn a_temperature_of_zero_is_zero_however_it_is_written() {
    for (spelling, calls) in [("0", 1), ("0.0", 1), ("-0.0", 1), ("0e5", 1), ("0.1", 2)] {
        let seen = Seen::default();
        let stack =
            Stack::new().cache(CacheLayer::new("upstream", Scope::Shared)).layer(upstream(&seen));
        let body = format!(r#"{{"model":"m","messages":[],"temperature":{spelling}}}"#);
        for _ in 0..2 {
            assert_eq!(answer(stack.clone(), chat(&body)).await.0, StatusCode::OK);
        }
        assert_eq!(seen.take().len(), calls, "{spelling}");
    }
}
