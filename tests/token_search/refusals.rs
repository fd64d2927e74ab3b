//! Requests that the gateway rejects itself.

use tower_inference::{hf::TokenSource, secret::Secret};

use crate::{
    TOKENS,
    gateway::{CHAT, Form, Served},
    leak::leak,
    log::listen,
    upstream::Upstream,
};

#[tokio::test]
async fn no_rejection_has_the_token() {
    let log = listen();
    for token in TOKENS {
        for text_log in [false, true] {
            let form = Form { text_log, ..Form::default() };
            let upstream = Upstream::start().await;
            let source = TokenSource::value(Secret::new(token)).unwrap();
            let served = Served::start(upstream.address, source, form).await;
            let bearer = format!("authorization: {}\r\n", served.bearer);
            let expired = served.issuer.token("ann").expired().bearer();
            let expired = format!("authorization: {expired}\r\n");
            let other_model = CHAT.replace("org/demo", "org/other");
            let chat = "/v1/chat/completions";
            for (method, path, headers, body, status) in [
                ("POST", chat, "", CHAT, 401),
                ("POST", chat, "authorization: Bearer none\r\n", CHAT, 401),
                ("POST", chat, &expired, CHAT, 401),
                ("POST", "/elsewhere", &bearer, CHAT, 403),
                ("POST", chat, &bearer, &other_model, 403),
                ("POST", chat, &bearer, "{}", 422),
                ("POST", chat, &bearer, r#"{"model":"org/demo","messages":[{}]}"#, 422),
                ("POST", chat, &bearer, r#"{"model":"#, 400),
                ("TRACE", chat, &bearer, CHAT, 405),
            ] {
                let response = served.send(method, path, headers, body).await;
                let found = response.split(' ').nth(1).and_then(|status| status.parse().ok());
                let acceptable = found == Some(status) || (status == 405 && found >= Some(400));
                assert!(acceptable, "{method} {path} {body}: {response}");
            }
            assert_eq!(upstream.seen(), [""; 0]);
            for (output, text) in served.outputs() {
                assert_eq!(leak(&text, token), None, "{output}: {text}");
            }
            assert_eq!(leak(&log.text(), token), None);
        }
    }
}
