//! Cases from public bug reports of clients, servers and gateways: each module has a table of its
//! parties, with sources, and one test for each reported case.

#[path = "../support/conformance.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

mod budget;
mod ends;
mod forms;
mod profile;

use std::{fs, path::Path};

/// Reported cases whose test has another name than the case: the case, the file and the test.
const NAMED_OTHERWISE: [(&str, &str, &str); 6] = [
    (
        "scope-claim-as-array",
        "auth/identity_providers/mod.rs",
        "token_of_each_provider_is_accepted_with_its_scopes",
    ),
    ("new-key-under-the-same-kid", "auth/rotated_keys.rs", "rotated_key_is_found_by_one_fetch"),
    (
        "jwks-modulus-with-leading-zero",
        "auth/identity_providers/key_forms.rs",
        "every_common_form_of_a_key_is_the_same_key",
    ),
    (
        "jwks-behind-a-redirect",
        "auth/remote_keys/discovery.rs",
        "a_redirect_to_other_keys_is_not_followed",
    ),
    (
        "pooled-connection-closed-by-uvicorn",
        "connections/uvicorn.rs",
        "a_thousand_requests_around_its_close_get_a_response",
    ),
    (
        "truncated-or-aborted-answer-kept",
        "real_cases/ends.rs",
        "truncated_or_aborted_responses_are_not_stored",
    ),
];

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn every_reported_case_has_a_test() {
    let cases = fs::read_to_string(conformance::path("real-cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    assert!(!cases.is_empty());
    let mut here = String::new();
    read_all(&tests().join("real_cases"), &mut here);
    for case in &cases {
        let slug = case["slug"].as_str().unwrap();
        let (text, test) = match NAMED_OTHERWISE.iter().find(|(other, ..)| *other == slug) {
            Some((_, file, test)) => {
                (&fs::read_to_string(tests().join(file)).unwrap(), (*test).to_owned())
            }
            None => (&here, slug.replace('-', "_")),
        };
        assert!(text.contains(&format!("fn {test}(")), "{slug} has no test {test}");
    }
}

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
