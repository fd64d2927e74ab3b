//! Mistakes of the first hour, made as beginners make them. Each test asserts the words that lead the
//! reader right.
//!
//! | the beginner | test |
//! |---|---|
//! | starts the program in another folder than the key file's | `keys::the_key_file_is_in_another_folder` |
//! | saves one key and no set | `keys::one_key_is_given_as_a_set` |
//! | gives PEM, a path or a page in place of the set | `keys::another_form_is_given_as_a_set` |
//! | saves the set with a byte-order mark | `keys::a_byte_order_mark_is_accepted` |
//! | gives the secret of HS256 | `keys::a_shared_secret_is_given_as_a_key` |
//! | leaves the scheme of the issuer away | `keys::the_issuer_has_no_scheme` |
//! | gives the address of the discovery document as the issuer | `keys::the_discovery_document_is_given_as_the_issuer` |
//! | uses an issuer over plain `http` | `keys::the_issuer_is_reached_without_tls` |
//! | forgets the slash at the end of the issuer in discovery | `keys::discovery_names_another_issuer` |
//! | forgets to start the identity provider | `keys::the_identity_provider_is_not_running` |
//! | has a proxy or another path in front of it | `keys::the_identity_provider_responds_with_an_error` |
//! | keeps the quotes of an env file | `token::quotes_stand_around_the_token` |
//! | copies the header instead of the token | `token::the_word_bearer_stands_before_the_token` |
//! | reads the token from a file without trimming it | `token::a_line_break_follows_the_token` |
//! | copies a blank with the token | `token::a_blank_stands_beside_the_token` |
//! | gives an empty name of a variable | `token::the_name_of_the_variable_is_empty` |
//! | does not export the variable | `token::the_variable_is_not_set` |
//! | gives the token as the name of a variable or as a path | `token::the_token_is_given_in_place_of_its_place` |
//! | mounts the token's file elsewhere | `token::the_token_file_is_missing` |
//! | leaves the scheme of the upstream away | `upstream::the_base_url_has_no_scheme` |
//! | gives the base URL of an SDK, which ends in `/v1` | `upstream::the_base_url_ends_in_a_version` |
//! | gives the URL of one route | `upstream::the_base_url_is_the_url_of_a_route` |
//! | uses an upstream over plain `http` | `upstream::the_upstream_is_reached_without_tls` |
//! | uses the client alone over plain `http` | `upstream::the_client_is_used_without_tls` |
//! | gives another port than the upstream's | `upstream::the_port_of_the_upstream_is_another_one` |
//! | sets a timeout that the upstream exceeds | `upstream::the_upstream_is_too_slow` |
//! | gives a token that the upstream does not accept | `upstream::the_upstream_rejects_the_token` |
//! | streams bodies to an upstream whose token rotates | `upstream::a_streamed_body_meets_a_rotated_token` |
//! | gives tokens by tenant or model to requests without one | `upstream::the_requests_have_no_tenant_or_model_for_a_token` |
//! | gives a profile to some layers only | `upstream::layers_of_one_stack_have_different_profiles` |
//! | asks for the profile of a URL | `upstream::the_profile_is_looked_up_by_a_url` |
//! | gives roots in DER | `upstream::the_roots_are_der` |
//! | gives all scopes as one text | `settings::scopes_are_given_as_one_text` |
//! | names a header with an underscore, or one of another layer | `settings::the_header_is_reserved` |
//! | sets a query parameter that another layer removes | `settings::the_query_parameter_is_reserved` |
//! | names a schema's route otherwise than the route | `settings::the_schema_has_another_name_than_its_route` |
//! | limits by route without routes | `settings::a_limit_by_route_has_no_routes` |
//! | forgets the slash of a JSON pointer | `settings::the_pointer_has_no_slash` |
//! | writes a path with a query or a name in braces | `settings::the_path_has_other_characters` |
//! | misspells a keyword of a schema | `settings::a_keyword_of_the_schema_is_misspelt` |
//! | gives the wrapper of a schema | `settings::the_schema_is_in_a_wrapper` |
//! | gives YAML or a path as a schema | `settings::the_schema_is_in_another_form` |
//! | misspells the name of a limit | `settings::the_limit_has_another_name` |
//! | gives an address of Redis without a scheme | `settings::the_address_of_redis_has_no_scheme` |
//! | puts a limit by identity outside of auth | `order::a_limit_is_outside_of_auth` |
//! | puts the cache outside of auth | `order::the_cache_is_outside_of_auth` |
//! | shares the cache by tenant and names no claim | `order::the_cache_is_shared_by_tenant_without_a_claim` |
//! | puts another limit by caller, tier or key outside of auth | `callers::each_limit_by_caller_is_outside_of_auth` |
//! | puts a token budget outside of auth | `callers::a_token_budget_is_outside_of_auth` |
//! | counts by tenant or claim and no token has it | `callers::the_callers_have_no_value_to_be_counted_by` |
//! | puts a cache with `Scope::by` outside of auth | `callers::a_scope_of_a_function_is_outside_of_auth` |
//! | puts model rules outside of auth | `callers::model_rules_with_a_condition_are_outside_of_auth` |
//! | passes the caller on in a header outside of auth | `callers::a_header_of_the_caller_is_set_outside_of_auth` |
//! | gives an issuer that differs by a slash or the scheme | `order::the_issuer_differs_in_a_detail` |
//! | gives the keys of another issuer | `order::the_keys_are_those_of_another_issuer` |
//! | gives an audience that no token has | `order::the_audience_never_matches` |
#![allow(unreachable_pub, reason = "modules of one test crate")]

mod callers;
mod errors;
mod keys;
#[path = "../support/log.rs"]
mod log;
mod order;
mod settings;
#[path = "../support/token.rs"]
mod signer;
mod token;
mod upstream;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use log::taken as logged;

/// Asserts that an error leads right wherever it is printed: by its user, and by a `main` that
/// returns it.
#[track_caller]
fn leads_right(error: impl Into<Box<dyn Error + Send + Sync>>, words: &[&str]) {
    let error = error.into();
    let shown = error.to_string();
    let of_main = format!("Error: {error:?}");
    for word in words {
        assert!(shown.contains(word), "{word}: {shown}");
        assert!(of_main.contains(word), "{word}: {of_main}");
    }
    assert!(!shown.contains('\n'), "{shown}");
}

/// Logs as a program does by default: from INFO on.
fn listen() {
    log::listen(tracing::Level::INFO);
}

/// Asserts that the log since the last look is one WARN with these words.
#[track_caller]
fn warned_once(words: &[&str]) {
    let lines = logged();
    assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
    for word in words {
        assert!(lines.contains(word), "{word}: {lines}");
    }
}

/// A file that is removed with this value.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("first-hour-{}-{number}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _removed = fs::remove_file(&self.0);
    }
}
