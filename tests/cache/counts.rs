//! The counts of a cache.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn hits_and_savings_are_counted() {
    let (layer, clock) = layer(Scope::Identity);
    let of = |model: &str, temperature: u8| {
        let body = format!(r#"{{"model":"{model}","temperature":{temperature}}}"#);
        let request = post(Some(user("a")), CHAT, &body);
        context(&request).set_model(model);
        context(&request).set_route("chat");
        request
    };
    let moved = clock.clone();
    let response = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
    let upstream = Upstream::new(move |_, _| {
        moved.advance(SECOND * 2);
        json(response)
    });
    let first = send(&layer, &upstream, of("m", 0)).await;
    let follower = send(&layer, &upstream, of("m", 0)).await;
    text(first).await;
    text(follower).await;
    body_of(&layer, &upstream, of("m", 0)).await;
    body_of(&layer, &upstream, of("m", 1)).await;
    body_of(&layer, &upstream, of("n", 0)).await;

    let counts = layer.counts();
    let [m, n] = &counts[..] else { panic!("{counts:?}") };
    assert_eq!((&*m.route, &*m.model), ("chat", "m"));
    assert_eq!((m.hits, m.misses, m.followers, m.bypasses, m.stored), (1, 1, 1, 1, 1));
    assert_eq!(m.bytes, 2 * response.len() as u64);
    assert_eq!((m.saved_tokens, m.saved_time), (24, SECOND * 4));
    assert_eq!((n.hits, n.misses, n.saved_tokens), (0, 1, 0));
}
