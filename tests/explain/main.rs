//! The words that `explain` finds for a line of the access log.

mod gateway;
mod hostile;
#[path = "../support/written.rs"]
mod written;

use serde_json::{Value, json};
use tower_inference::{
    context::{AbandonReason, Decision, Layer},
    explain::{ExplainError, explain, explain_request},
    record::RequestOutcome,
    rejection::Refusal,
};

/// A line of a request that passed every layer, with these members in addition.
fn line(more: Value) -> String {
    let mut line = json!({
        "time": "2026-11-23T09:08:07.006Z",
        "request_id": "r-7",
        "principal": { "proof": "jwt", "issuer": "https://issuer.example", "subject": "ann" },
        "tenant": "acme",
        "credential_id": "key-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "route": "chat",
        "status": 200,
        "cache": "miss",
        "outcome": "complete",
        "bytes_in": 90,
        "bytes_out": 400,
        "head_us": 1_234,
        "total_us": 2_345_678,
        "upstream": "https://router.huggingface.co",
        "upstream_status": 200,
        "attempts": 2,
        "model": "org/small",
        "model_target": "org/small:together",
        "usage": { "prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4 },
        "member_of_a_later_version": [{}],
    });
    for (name, value) in more.as_object().unwrap() {
        line[name] = value.clone();
    }
    line.to_string()
}

fn words(line: &str) -> Vec<String> {
    explain(line).unwrap().sentences().map(str::to_owned).collect()
}

#[test]
fn each_decision_is_a_sentence() {
    let names = Layer::ALL.iter().filter(|layer| **layer != Layer::AccessLog);
    let decisions = names.map(|layer| format!("{layer}=passed")).collect::<Vec<_>>().join(" ");
    let words = words(&line(json!({ "decisions": format!("{decisions} guard=passed") })));
    assert_eq!(
        words,
        [
            "The request r-7 arrived at 2026-11-23T09:08:07.006Z and asked for POST /v1/chat/completions with the model org/small.",
            "The caller is ann of https://issuer.example, proven by jwt, of the tenant acme, with the credential key-1.",
            "peer_throttle passed the request: the limits by address allow it.",
            "route passed the request: the route is chat.",
            "auth passed the request: the credential is valid and the access rules allow the route.",
            "throttle passed the request: its limits allow the request.",
            "payload passed the request: the body has 90 bytes and is within the bounds.",
            "schema passed the request: the request matches the schema of its route.",
            "transform passed the request: its edits are made.",
            "model_rules passed the request: the caller may use org/small:together.",
            "cache passed the request: no stored response fits.",
            "token_budget passed the request: the budget covers the request.",
            "fallback passed the request: a target can serve it.",
            "upstream passed the request: a slot was free and the upstream was called.",
            "hf_token passed the request: it was sent to https://router.huggingface.co with the token of that origin.",
            "guard passed the request.",
            "The request was sent 2 times, at last to https://router.huggingface.co, and the last response had status 200.",
            "The upstream counted these tokens: 9 of the prompt, 4 of it cached by the upstream, 5 of the completion.",
            "The response was passed on to its end with status 200 after 2.3 s. The client received 400 bytes. The head of the response came after 1.2 ms.",
        ]
    );
}

#[test]
fn each_of_several_attempts_is_a_sentence_with_its_reason() {
    let list = json!([
        {
            "target": "a",
            "upstream": "https://a.example",
            "status": 503,
            "upstream_request_id": "req_1",
            "started_us": 0,
            "duration_us": 1_200,
            "abandoned": "status",
        },
        { "target": "b", "duration_us": 3_000_000, "abandoned": "unreachable" },
        { "upstream": "https://c.example", "status": 200, "upstream_request_id": "req_3" },
    ]);
    let line = line(json!({ "attempts": 3, "attempt_list": list, "upstream_request_id": "req_3" }));
    let words = words(&line);
    let first = words.iter().position(|sentence| sentence.starts_with("Attempt 1 ")).unwrap();
    assert_eq!(
        words[first..first + 4],
        [
            "Attempt 1 to the target a at https://a.example got status 503 and the upstream's id req_1 after 1.2 ms. Another attempt followed: the upstream is busy or has failed.",
            "Attempt 2 to the target b got no response after 3.0 s. Another attempt followed: there was no connection, or it ended before a response.",
            "Attempt 3 to https://c.example got status 200 and the upstream's id req_3.",
            "The request was sent 3 times, at last to https://router.huggingface.co, and the last response had status 200 and the upstream's id req_3.",
        ]
    );
}

#[test]
fn each_reason_for_another_attempt_has_words() {
    let reasons = AbandonReason::ALL.iter().map(|reason| reason.as_str());
    let mut seen = std::collections::BTreeSet::new();
    for reason in reasons.chain(["of_a_later_version"]) {
        let list = json!([{ "target": "a", "abandoned": reason }, { "target": "a" }]);
        let words = words(&line(json!({ "attempt_list": list }))).join("\n");
        let why = words.split_once("Another attempt followed: ").unwrap().1;
        let why = why.split_once(".\n").unwrap().0.to_owned();
        assert_eq!(why == reason, reason == "of_a_later_version", "{words}");
        assert!(seen.insert(why), "{words}");
    }
    // A layer of the program has repeated the request.
    let list = json!([{ "status": 502 }, { "status": 200 }]);
    let words = words(&line(json!({ "attempt_list": list }))).join("\n");
    assert!(
        words.contains("Another attempt followed, which a layer of the program sent"),
        "{words}"
    );
    let no_list = json!({ "attempt_list": [1, "a", null, [{}]] });
    assert!(!self::words(&line(no_list)).join("\n").contains("Attempt "));
}

#[test]
fn an_object_of_decisions_is_read_as_well() {
    let decisions = json!({ "decisions": { "auth": "passed", "throttle": "rejected" } });
    let words = words(&line(decisions)).join("\n");
    assert!(words.contains("auth passed the request"), "{words}");
    assert!(words.contains("throttle rejected the request"), "{words}");
}

#[test]
fn each_refusal_has_its_layer_its_reason_and_a_remedy() {
    for refusal in Refusal::ALL {
        let slug = refusal.slug();
        let rejected = |more: Value| {
            let mut members = json!({ "refusal": slug, "outcome": "rejected", "attempts": 0 });
            for (name, value) in more.as_object().unwrap() {
                members[name] = value.clone();
            }
            words(&line(members)).join("\n")
        };
        // Today's members: the layer is one of those that issue the refusal.
        let derived = rejected(json!({}));
        assert!(derived.contains(" rejected the request: "), "{slug}\n{derived}");
        assert!(derived.contains("What you can do: "), "{slug}\n{derived}");
        assert!(!derived.contains("A layer rejected"), "{slug}\n{derived}");
        // With the decisions the layer is certain.
        let stated = rejected(json!({ "decisions": "auth=passed schema=rejected" }));
        assert!(stated.contains("schema rejected the request: "), "{slug}\n{stated}");
        assert!(!stated.contains("One of the layers"), "{slug}\n{stated}");
    }
}

#[test]
fn decisions_are_derived_as_far_as_a_line_proves_them() {
    let hit = words(&line(json!({ "cache": "hit", "attempts": null }))).join("\n");
    assert!(hit.contains("cache responded itself: a stored response was served"), "{hit}");
    assert!(!hit.contains("upstream passed"), "{hit}");

    let limited = json!({ "refusal": "throttled", "limit": "caller-share", "outcome": "rejected" });
    let limited = words(&line(limited)).join("\n");
    assert!(limited.contains("upstream rejected the request: its limit caller-share"), "{limited}");

    let several = json!({ "refusal": "throttled", "limit": "per-key", "outcome": "rejected" });
    let several = words(&line(several)).join("\n");
    assert!(several.contains("One of the layers throttle, peer_throttle, token_budget or upstream rejected the request: its limit per-key is reached."), "{several}");

    let shadow = json!({ "limit_shadow": "next", "decisions": "throttle=passed" });
    let shadow = words(&line(shadow)).join("\n");
    assert!(shadow.contains("its limit next in shadow would have rejected"), "{shadow}");
}

#[test]
fn each_outcome_has_words() {
    let mut ends = std::collections::BTreeSet::new();
    for outcome in RequestOutcome::ALL {
        let line = line(json!({ "outcome": outcome.as_str(), "status": null, "usage": null }));
        let words = words(&line);
        let remedy = words.last().unwrap().starts_with("What you can do: ");
        let needs_none = matches!(outcome, RequestOutcome::Complete | RequestOutcome::Rejected);
        assert_eq!(remedy, !needs_none, "{words:#?}");
        ends.insert(words[words.len() - 1 - usize::from(remedy)].clone());
    }
    assert_eq!(ends.len(), RequestOutcome::ALL.len());
    let stream = words(&line(json!({ "outcome": "upstream_error", "stream_end": "cut" }))).join("");
    assert!(stream.contains("broke off without its end mark"), "{stream}");
}

#[test]
fn members_may_be_missing() {
    let words = words(r#"{"outcome":"cancelled"}"#);
    assert_eq!(
        words[..3],
        [
            "The request asked for an unknown method an unknown path.",
            "The caller is not known: no layer had verified a credential.",
            "The client left before the end, and no head of a response had passed. The client received 0 bytes.",
        ]
    );
    let later =
        r#"{"outcome":"later","refusal":"of-a-later-version","decisions":"auth=later x=passed"}"#;
    let later = self::words(later).join("\n");
    assert!(later.contains("x passed the request.") && later.contains("of-a-later-version"));
}

#[test]
fn other_lines_are_refused() {
    for other in ["", "started", "[1]", "17", "{", "null"] {
        assert!(matches!(explain(other), Err(ExplainError::NotJson)), "{other}");
    }
    for other in [r#"{"dropped":3}"#, r#"{"level":"INFO","message":"x"}"#, r#"{"outcome":7}"#] {
        assert!(matches!(explain(other), Err(ExplainError::NoRecord)), "{other}");
    }
    let error = explain("x").unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn a_request_is_found_by_its_whole_id() {
    let other = line(json!({ "request_id": "r-70", "path": "/other" }));
    // An id inside of another member is not the id of the request.
    let quoting = line(json!({ "request_id": "r-8", "path": r#"/"request_id":"r-7""# }));
    let log = format!("started\n{other}\n{quoting}\n\n{}\n{{\"dropped\":1}}\n", line(json!({})));
    let found = explain_request(log.as_bytes(), "r-7").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].request_id(), Some("r-7"));
    assert!(!found[0].to_string().contains("/other"));
    // The last line may lack its end.
    assert_eq!(explain_request(log.trim_end().as_bytes(), "r-70").unwrap().len(), 1);
    assert!(matches!(explain_request(log.as_bytes(), "r"), Err(ExplainError::NotFound)));
}

#[test]
fn the_search_is_bounded() {
    let record = line(json!({}));
    let many = format!("{record}\n").repeat(40);
    assert_eq!(explain_request(many.as_bytes(), "r-7").unwrap().len(), 16);
    // A line beyond 1 MiB is skipped and the next one is read.
    for size in [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let log = format!("{}\n{record}\n", "x".repeat(size));
        assert_eq!(explain_request(log.as_bytes(), "r-7").unwrap().len(), 1, "{size}");
    }
    let long = line(json!({ "path": "/".repeat(2 << 20) }));
    let log = format!("{long}\n{record}");
    assert_eq!(explain_request(log.as_bytes(), "r-7").unwrap().len(), 1);
    assert!(matches!(explain_request(long.as_bytes(), "r-7"), Err(ExplainError::NotFound)));
    // Bytes that are no text.
    let log = [b"\xff\xfe\n", record.as_bytes()].concat();
    assert_eq!(explain_request(&log[..], "r-7").unwrap().len(), 1);
}

#[test]
fn the_names_that_are_read_are_those_that_are_written() {
    for decision in Decision::ALL {
        let words = words(&line(json!({ "decisions": format!("auth={decision}") }))).join("\n");
        assert!(words.contains("\nauth "), "{words}");
    }
}
