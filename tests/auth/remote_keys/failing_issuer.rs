//! An issuer that fails in each way and counts its hits. Valid tokens never wait for it.

use super::*;
use crate::issuer::{ED25519_OTHER, P256, RSA};

/// A way to fail.
type Failing = (&'static str, fn(&FakeProvider));

const FAILURES: [Failing; 9] = [
    ("500", |provider| provider.status(500)),
    ("an unreachable server", |provider| provider.fail(true)),
    ("a hang", |provider| provider.delay(seconds(86_400))),
    ("garbage", |provider| provider.keys("\u{0}<html>")),
    ("an empty body", |provider| provider.keys("")),
    ("no keys", |provider| provider.keys(r#"{"keys":[]}"#)),
    ("unknown key types", |provider| {
        provider.keys(
            r#"{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},{"kty":"oct","k":"AA"}]}"#,
        );
    }),
    ("20,000 keys", |provider| provider.keys(&many_keys())),
    ("a redirect", |provider| {
        provider.status(302);
        provider.field("location", "https://evil.example/jwks.json");
    }),
];

/// A set beyond the maximum size.
fn many_keys() -> String {
    let key = ED25519.jwk_with(json!({ "kid": "EdDSA" }));
    let set = set(&vec![key; 20_000]);
    assert!(set.len() > 512 << 10);
    set
}

#[tokio::test(start_paused = true)]
async fn failing_issuer_is_asked_within_its_bounds_and_valid_tokens_never_wait() {
    for (failure, fail) in FAILURES {
        let provider = FakeProvider::new();
        let (layer, source, clock) = layer_of(provider.source());
        source.refresh().await.unwrap();
        fail(&provider);

        // The keys age. Each delay allows one fetch.
        clock.advance(seconds(600));
        let start = tokio::time::Instant::now();
        for (round, delay) in [1, 2, 4, 8].into_iter().enumerate() {
            for _ in 0..20 {
                assert!(try_token(&layer, &ed("EdDSA")).await.passed(), "{failure}");
            }
            assert_eq!(start.elapsed(), seconds(2) * round as u32, "{failure}: a request waited");
            // A hanging fetch ends at its timeout.
            tokio::time::sleep(seconds(2)).await;
            assert_eq!(provider.calls(), 2 + round, "{failure}");
            clock.advance(seconds(delay));
        }
        // Nothing but the keys' address was asked.
        assert!(provider.seen().iter().all(|uri| uri == JWKS_URI), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn failing_issuer_without_keys_fails_each_request_in_time() {
    for (failure, fail) in FAILURES {
        let provider = FakeProvider::new();
        fail(&provider);
        let (layer, _source, _clock) = layer_of(provider.source());
        let start = tokio::time::Instant::now();
        let requests: Vec<_> = (0..100).map(|_| spawn(&layer, ed("EdDSA"))).collect();
        for request in requests {
            let outcome = request.await.unwrap();
            assert_eq!(outcome.refusal(), UNAVAILABLE, "{failure}");
            assert!(outcome.headers.contains_key("retry-after"), "{failure}");
        }
        assert!(start.elapsed() <= Duration::from_millis(1_500), "{failure}");
        assert_eq!(provider.calls(), 1, "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_kids_and_forged_signatures_cost_one_fetch_in_a_cool_down() {
    for hangs in [false, true] {
        let provider = FakeProvider::new();
        let (layer, source, clock) = layer_of(provider.source());
        source.refresh().await.unwrap();
        if hangs {
            provider.delay(seconds(86_400));
        }
        let unknown = (0..500).map(|number| ed(&format!("nobody-{number}")));
        let header = json!({ "alg": "EdDSA", "kid": "EdDSA" });
        let forged = (0..1_000).map(|number| {
            ED25519_OTHER.token(&header, &claims(json!({ "jti": number.to_string() })))
        });
        let start = tokio::time::Instant::now();
        let requests: Vec<_> = unknown.chain(forged).map(|token| spawn(&layer, token)).collect();
        settle().await;
        for _ in 0..100 {
            assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "a valid token waited");
        let mut unavailable = 0;
        for request in requests {
            match request.await.unwrap().refusal() {
                INVALID => {}
                // Beyond the maximum of waiting requests.
                UNAVAILABLE => unavailable += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(unavailable, if hangs { 1_500 - 1_024 } else { 0 });
        assert_eq!(provider.calls(), 2);
        // After the cool-down one more.
        clock.advance(seconds(30));
        for number in 0..20 {
            try_token(&layer, &ed(&format!("nobody-{number}"))).await;
        }
        assert_eq!(provider.calls(), 3);
    }
}

#[tokio::test]
async fn set_of_20_000_keys_within_the_maximum_size_has_its_first_keys() {
    let provider = FakeProvider::new();
    let mut keys = vec![ED25519.jwk_with(json!({ "kid": "EdDSA" }))];
    keys.extend((0..20_000).map(|number| P256.jwk_with(json!({ "kid": number.to_string() }))));
    provider.keys(&set(&keys));
    let (layer, source, _clock) = layer_of(provider.source().max_body_bytes(8 << 20));
    assert_eq!(source.refresh().await, Ok(()));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test]
async fn keys_without_kid_and_with_one_kid_are_told_apart_by_their_type() {
    for kid in [None, Some("one")] {
        let named = |pair: &crate::issuer::Pair| match kid {
            Some(kid) => pair.jwk_with(json!({ "kid": kid })),
            None => pair.jwk(),
        };
        let provider = FakeProvider::new();
        provider.keys(&set(&[named(&RSA), named(&P256), named(&ED25519)]));
        let (layer, _source, _clock) = layer_of(provider.source());
        for (algorithm, pair) in [("RS256", &*RSA), ("ES256", &*P256), ("EdDSA", &*ED25519)] {
            let mut header = json!({ "alg": algorithm });
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            let token = pair.token(&header, &claims(json!({})));
            assert!(try_token(&layer, &token).await.passed(), "{kid:?} {algorithm}");
        }
        assert_eq!(provider.calls(), 1);
    }
}

/// A new key appears before the old one leaves. No token is refused and no request waits.
#[tokio::test(start_paused = true)]
async fn rotation_with_overlap_is_seamless() {
    let provider = FakeProvider::new();
    provider.keys(&one_key("old"));
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    let (old, new) = (
        ed("old"),
        ED25519_OTHER.token(
            &json!({ "alg": "EdDSA", "kid": "new" }),
            &claims(json!({ "exp": crate::NOW + 100_000 })),
        ),
    );
    let both = [
        ED25519.jwk_with(json!({ "kid": "old" })),
        ED25519_OTHER.jwk_with(json!({ "kid": "new" })),
    ];
    provider.keys(&set(&both));
    clock.advance(seconds(600));
    assert!(try_token(&layer, &old).await.passed());
    settle().await;
    for token in [&old, &new] {
        assert!(try_token(&layer, token).await.passed());
    }
    assert_eq!(provider.calls(), 2);
    provider.keys(&set(&both[1..]));
    clock.advance(seconds(600));
    assert!(try_token(&layer, &new).await.passed());
    settle().await;
    assert!(try_token(&layer, &new).await.passed());
    assert_eq!(try_token(&layer, &old).await.refusal(), INVALID);
}
