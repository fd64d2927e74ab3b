//! Pseudonyms of callers.

use tower_inference::{
    access_log::{Emf, Events, Pseudonyms},
    record::GenAiConventions,
    secret::Secret,
};

use super::{formats::serve_full, *};

const KEY: &str = "0123456789abcdef";

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&Secret::new(KEY)).unwrap()
}

#[test]
fn each_format_shows_the_caller_by_pseudonyms_alone() {
    let subject = pseudonyms().subject("https://issuer.example", "user 7");
    let emf = || Emf::new("n").unwrap();
    for format in [
        Format::json(),
        Format::api_gateway(),
        Format::api_gateway()
            .fields(["authorizer.principalId", "authorizer.claims.email"])
            .unwrap(),
        Format::open_telemetry(GenAiConventions::Latest),
        Format::common(),
        Format::combined(),
        Format::emf(emf()),
    ] {
        let log = Log::format(format.pseudonyms(pseudonyms()));
        serve_full(&log);
        let text = log.text();
        assert!(text.contains(&subject), "{text}");
        for hidden in ["user 7", "user\\x207", "acme", "key-1", "a@b.example"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
    let log = Log::format(Format::json().pseudonyms(pseudonyms()));
    serve_full(&log);
    let record = log.record();
    assert_eq!(record["principal"]["issuer"], "https://issuer.example");
    assert_eq!(record["tenant"], pseudonyms().tenant("https://issuer.example", "acme"));
    assert_eq!(record["credential_id"], pseudonyms().credential_id("key-1"));
}

#[test]
fn opentelemetry_has_another_name_for_a_pseudonym() {
    let format = Format::open_telemetry(GenAiConventions::V1_41).fields(["enduser.id"]).unwrap();
    let log = Log::format(format.pseudonyms(pseudonyms()));
    serve_full(&log);
    let subject = pseudonyms().subject("https://issuer.example", "user 7");
    assert_eq!(log.record(), json!({ "enduser.pseudo.id": subject }));
}

#[test]
fn other_sinks_of_the_layer_see_the_caller() {
    let log = Log::of(|sink| {
        AccessLogLayer::lines(sink, Format::json().pseudonyms(pseudonyms()))
            .and(Events::new().pseudonyms(pseudonyms()))
            .and(|record: &Record<'_>| assert_eq!(record.principal().unwrap().subject, "user 7"))
    });
    serve_full(&log);
    assert!(!log.text().contains("user 7"));
}

#[test]
fn pseudonyms_differ_by_kind_issuer_and_key() {
    let own = pseudonyms();
    let other = Pseudonyms::new(&Secret::new("another key of 16 bytes")).unwrap();
    let mut all = vec![
        own.subject("a", "b"),
        own.subject("ab", ""),
        own.subject("", "ab"),
        own.tenant("a", "b"),
        own.credential_id("b"),
        own.content(b"b"),
        other.subject("a", "b"),
    ];
    assert!(all.iter().all(|one| one.len() == 37 && one.starts_with("hmac:")), "{all:?}");
    assert_eq!(own.subject("a", "b"), all[0]);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
    let short = Pseudonyms::new(&Secret::new("15 bytes of key"));
    assert!(short.unwrap_err().to_string().contains("at least 16 bytes"));
    assert!(!format!("{own:?}").contains('0'));
}

/// By `python3 -c` with `hmac`, `hashlib` and `struct`.
#[test]
fn a_pseudonym_can_be_computed_elsewhere() {
    assert_eq!(pseudonyms().subject("iss", "sub"), SUBJECT);
    assert_eq!(pseudonyms().content(b"abc"), CONTENT);
}

const SUBJECT: &str = "hmac:1a00c8746a7c2a50ee52d953212aecd1";
const CONTENT: &str = "hmac:950c8e0b174445c92572d099e81bd07a";
