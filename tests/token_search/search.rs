//! The search finds what it must.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_inference::secret::{Scrubber, Secret};

use crate::{
    TOKENS,
    leak::{leak, spellings},
    log::listen,
};

#[test]
fn every_spelling_is_found_in_text() {
    for token in TOKENS {
        for spelling in spellings(token) {
            for (before, after) in [("", ""), ("x", "y"), ("?t=", "&u=1"), ("%", "%2")] {
                let text = format!("{before}{spelling}{after}");
                assert!(leak(&text, token).is_some(), "{text}");
            }
        }
        let quoted = format!("{:?}", format!("a {token}"));
        assert!(leak(&quoted, token).is_some(), "{quoted}");
        for before in 0..7 {
            let encoded =
                STANDARD.encode(format!("{}{token}{}", "x".repeat(before), "y".repeat(before)));
            assert!(leak(&encoded, token).is_some(), "{encoded}");
        }
        for clean in ["", "hf_", "[redacted]", "the upstream rejected the gateway's token"] {
            assert_eq!(leak(clean, token), None);
        }
        assert_eq!(leak(&token[..token.len() - 1], token), None);
    }
}

#[test]
fn a_planted_token_is_found_in_the_log_and_in_debug() {
    const PLANTED: &str = "hf_PlantedAb3xYz09QwErTyUi";
    let log = listen();
    assert_eq!(leak(&log.text(), PLANTED), None);
    tracing::trace!(query = %format!("t={}", PLANTED.replace('_', "%5F")), "a careless line");
    assert!(leak(&log.text(), PLANTED).is_some());
    let header = http::HeaderValue::from_static(PLANTED);
    assert!(leak(&format!("{header:?}"), PLANTED).is_some());
    assert!(leak(&format!("{:?}", PLANTED.as_bytes()), PLANTED).is_some());
}

#[test]
fn the_scrubber_knows_every_spelling_of_the_search() {
    for token in TOKENS {
        let scrubber = Scrubber::new([Secret::new(token)]);
        for spelling in spellings(token) {
            assert!(scrubber.is_in(format!("key {spelling} end").as_bytes()), "{spelling}");
            let scrubbed = scrubber.scrub(&spelling);
            assert_eq!(leak(&scrubbed, token), None, "{spelling}: {scrubbed}");
        }
    }
}
