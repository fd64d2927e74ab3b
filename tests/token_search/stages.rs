//! Two stages with a token each, of which the second one replaces the first one.

use std::net::SocketAddr;

use tower_inference::{
    fallback::{FallbackLayer, Target},
    hf::{Stage, TokenSource},
    secret::Secret,
};

use crate::{
    TOKENS,
    gateway::{CHAT, Form, Served},
    leak::leak,
    log::listen,
    outputs::{BODY, scripts},
    upstream::{Script, Upstream, response},
};

fn stage(name: &str, address: SocketAddr, token: &str) -> Stage {
    let token = TokenSource::value(Secret::new(token)).unwrap();
    Stage::new(name, format!("http://{address}").parse().unwrap(), token)
}

/// Starts a gateway that tries two upstreams with these tokens.
async fn served(upstreams: &[Upstream; 2], tokens: [&str; 2], form: Form) -> Served {
    let stages = ["first", "second"];
    let [first, second] = [0, 1].map(|nth| stage(stages[nth], upstreams[nth].address, tokens[nth]));
    let targets = [Target::new(first.clone()), Target::new(second)];
    Served::start_with(first, form, |layers, _| {
        // Each request begins with the first target.
        let fallback = FallbackLayer::new(targets).cool_down(std::time::Duration::ZERO);
        layers.fallback = Some(fallback.max_cool_down(std::time::Duration::ZERO));
    })
    .await
}

/// Checks that each origin has seen its own token in every request, and never the other one.
fn assert_own_tokens(upstreams: &[Upstream; 2], tokens: [&str; 2]) {
    for (upstream, [own, other]) in upstreams.iter().zip([tokens, [tokens[1], tokens[0]]]) {
        for request in upstream.seen() {
            assert!(request.contains(own), "{request}");
            assert_eq!(leak(&request, other), None, "{request}");
        }
    }
}

#[track_caller]
fn assert_clean(served: &Served, log: &str, case: &str) {
    let outputs = served.outputs();
    let outputs = outputs.iter().map(|(name, text)| (*name, text.as_str()));
    for (output, text) in outputs.chain([("the log", log)]) {
        for token in TOKENS {
            if let Some(spelling) = leak(text, token) {
                let lines: Vec<_> =
                    text.lines().filter(|line| leak(line, token).is_some()).collect();
                panic!("{case}: {spelling} in {output}: {lines:#?}");
            }
        }
    }
}

#[tokio::test]
async fn no_output_has_the_token_of_either_stage_and_each_origin_sees_its_own() {
    let log = listen();
    for (tokens, text_log) in [(TOKENS, false), ([TOKENS[1], TOKENS[0]], true)] {
        let form = Form { text_log, ..Form::default() };
        let upstreams = [Upstream::start().await, Upstream::start().await];
        let served = served(&upstreams, tokens, form).await;
        let [first, second] = &upstreams;
        for (case, script) in scripts(tokens[0]) {
            first.play(script);
            second.play(Script::Send(response(tokens[1], 200, "", BODY)));
            for body in [CHAT.to_owned(), CHAT.replacen('{', r#"{"stream":true,"#, 1)] {
                let before = first.seen().len();
                served.chat(&body).await;
                assert!(first.seen().len() > before, "{case}");
            }
        }
        assert!(second.seen().len() > 20, "{}", second.seen().len());
        // Both fail: the client gets the failure of the second one.
        for (case, script) in scripts(tokens[1]) {
            first.play(Script::Send(response(tokens[0], 500, "", BODY)));
            second.play(script);
            let before = second.seen().len();
            served.chat(CHAT).await;
            assert!(second.seen().len() > before, "{case}");
        }
        assert_own_tokens(&upstreams, tokens);
        assert_clean(&served, &log.text(), &format!("{form:?}"));
    }
}

#[tokio::test]
async fn no_record_has_a_token_that_a_client_sends() {
    let log = listen();
    for text_log in [false, true] {
        let form = Form { text_log, ..Form::default() };
        let upstreams = [Upstream::start().await, Upstream::start().await];
        let served = served(&upstreams, TOKENS, form).await;
        upstreams[0].play(Script::Send(response("none", 200, "", BODY)));
        for token in TOKENS {
            let percent: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let headers = format!("{}user-agent: client {token}\r\n", served.credentials());
            for path in [format!("/v1/{percent}"), "/v1/chat/completions".to_owned()] {
                let response = served.send("POST", &path, &headers, CHAT).await;
                assert!(response.starts_with("HTTP/1.1 "), "{response}");
            }
        }
        assert!(!upstreams[0].seen().is_empty());
        assert_clean(&served, &log.text(), &format!("{form:?}"));
    }
}
