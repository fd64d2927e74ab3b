//! The token of the upstream.

use tower_inference::{
    hf::{TokenError, TokenSource},
    secret::Secret,
};

use crate::{TestFile, leads_right};

fn value_error(token: &str) -> TokenError {
    TokenSource::value(Secret::new(token)).unwrap_err()
}

#[test]
fn quotes_stand_around_the_token() {
    for token in ["\"hf_example\"", "'hf_example'", "\u{201c}hf_example\u{201d}"] {
        leads_right(value_error(token), &["quotes around it", "remove them"]);
    }
    let file = TestFile::new("quoted", "\"hf_example\"\n");
    let path = file.0.display().to_string();
    leads_right(TokenSource::file(&file.0).unwrap_err(), &[&path, "quotes around it"]);
}

#[test]
fn the_word_bearer_stands_before_the_token() {
    for token in ["Bearer hf_example", "bearer hf_example\n"] {
        leads_right(value_error(token), &["begins with `Bearer`", "the layer writes it"]);
    }
}

#[test]
fn a_line_break_follows_the_token() {
    leads_right(value_error("hf_example\n"), &["line break", "trim", "TokenSource::file"]);
    let file = TestFile::new("token", "\u{feff}hf_example\r\n");
    assert!(TokenSource::file(&file.0).is_ok());
}

#[test]
fn a_blank_stands_beside_the_token() {
    for token in [" hf_example", "hf_example ", "\thf_example", "token hf_example"] {
        leads_right(value_error(token), &["a space or a tab", "trim the text"]);
    }
    leads_right(value_error("\nhf_example"), &["a line break", "trim the text"]);
    for token in ["\u{feff}hf_example", "\u{a0}hf_example", "hf_example\u{200b}"] {
        leads_right(value_error(token), &["trim the text", "byte-order mark"]);
    }
    let file = TestFile::new("blank", " hf_example\n");
    let path = file.0.display().to_string();
    leads_right(TokenSource::file(&file.0).unwrap_err(), &[&path, "trim the text"]);
}

#[test]
fn the_variable_is_not_set() {
    let error = TokenSource::env("FIRST_HOUR_NO_TOKEN").unwrap_err();
    leads_right(error, &["no variable FIRST_HOUR_NO_TOKEN", "export it"]);
}

#[test]
fn the_name_of_the_variable_is_empty() {
    leads_right(TokenSource::env("").unwrap_err(), &["is empty", "such as HF_TOKEN"]);
}

#[test]
fn the_token_is_given_in_place_of_its_place() {
    let name = TokenSource::env("hf_exampleExampleExample").unwrap_err();
    leads_right(name.clone(), &["looks like a token", "TokenSource::value"]);
    let path = TokenSource::file("hf_exampleExampleExample").unwrap_err();
    leads_right(path.clone(), &["no such file", "TokenSource::value"]);
    let printed = format!("{name} {name:?} {path} {path:?}");
    assert!(!printed.contains("hf_example"), "{printed}");
}

#[test]
fn the_token_file_is_missing() {
    let error = TokenSource::file("/run/secrets/first-hour/token").unwrap_err();
    leads_right(error, &["/run/secrets/first-hour/token: ", "no such file"]);
    let empty = TestFile::new("empty", "\n");
    let path = empty.0.display().to_string();
    leads_right(TokenSource::file(&empty.0).unwrap_err(), &[&path, "the token is empty"]);
}

#[test]
fn no_error_repeats_the_token() {
    for token in
        ["\"hf_secret\"", "Bearer hf_secret", "hf_secret\n", "hf_secret x", "hf_secret\u{e9}"]
    {
        let error = value_error(token);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
