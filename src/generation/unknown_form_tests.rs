//! Limits of unknown forms, and limits that are no number of tokens.

use super::*;

#[test]
fn minus_one_is_no_limit() {
    for (path, body, expected) in [
        (CHAT, r#"{"max_tokens":-1}"#, r#"{"max_tokens":9}"#),
        (CHAT, r#"{"n_predict":-1}"#, r#"{"n_predict":9,"max_tokens":9}"#),
        (
            "/v1/completions",
            r#"{"prompt":"p","max_tokens":-1}"#,
            r#"{"prompt":"p","max_tokens":9}"#,
        ),
    ] {
        assert_eq!(edited(path, body), expected, "{path} {body}");
    }
}

#[test]
fn a_classification_that_limits_its_output_may_generate() {
    for body in [
        r#"{"inputs":"x","max_new_tokens":10}"#,
        r#"{"inputs":"x","sampling_params":{"max_new_tokens":10}}"#,
    ] {
        assert_eq!(refused("/predict", body).1, "maximum", "{body}");
    }
    assert_eq!(
        edited("/predict", r#"{"prompt":"x","max_tokens":10}"#),
        r#"{"prompt":"x","max_tokens":9}"#
    );
    let body = r#"{"inputs":"x"}"#;
    let (same, output) = limited(9, "/predict", body).unwrap();
    assert_eq!((&*same, output.bounded), (body, true));
}

#[test]
fn a_limit_is_found_at_any_depth_of_an_unknown_form() {
    for (path, body) in [
        ("/", r#"{"foo":{"max_tokens":9999}}"#),
        ("/models/a/b", r#"{"foo":[{"bar":{"Max_Tokens":10}}]}"#),
        ("/invocations", r#"{"foo":{"parameters":{"max_new_tokens":1e9}}}"#),
        ("/vertex", r#"{"instances":[{"foo":{"max_tokens":-1}}]}"#),
        ("/vertex", r#"{"instances":[{"inputs":{"max_tokens":99}}]}"#),
        ("/models/a/b", r#"{"inputs":{"prompt":"x","max_tokens":9999}}"#),
        ("/models/a/b", r#"{"inputs":{"a/~b":{"max_tokens":9999}}}"#),
        ("/predict", r#"{"input":{"prompt":"x","max_tokens":9999}}"#),
        ("/predict", r#"{"data":[{"max_tokens":9999}]}"#),
        ("/predict", r#"{"inputs":"x","data":[{"max_tokens":9999}]}"#),
        ("/v1/unknown", r#"{"foo":{"max_tokens":9999}}"#),
    ] {
        assert_eq!(refused(path, body).1, "maximum", "{path} {body}");
    }
    // Names that mean something else where no API has a limit.
    for body in [
        r#"{"foo":{"max_tokens":9,"max_length":"a","n":500}}"#,
        r#"{"foo":{"max_length":0,"max_tokens":-5}}"#,
        r#"{"inputs":{"table":{"max_length":["1","2"]}}}"#,
    ] {
        let (same, output) = limited(9, "/", body).unwrap();
        assert_eq!((&*same, output.bounded), (body, false));
    }
    assert_eq!(
        refused("/", r#"{"inputs":{"a/~b":{"max_tokens":99}}}"#).0,
        "/inputs/a~1~0b/max_tokens"
    );
}

#[test]
fn a_classification_without_inputs_has_an_unknown_form() {
    for body in
        [r#"{"input":"write"}"#, r#"{"text_input":"write"}"#, r#"{"inputs":"x","input":"y"}"#]
    {
        let (same, output) = limited(9, "/predict", body).unwrap();
        assert_eq!((&*same, output.bounded, output.tokens), (body, false, 9), "{body}");
    }
}

/// The sources are at `ZeroLimit`.
#[test]
fn a_limit_of_zero_passes_where_nothing_is_generated() {
    for (path, body) in [
        ("/v1/completions", r#"{"prompt":"p","max_tokens":0,"echo":true,"logprobs":1}"#),
        ("/v1/completions", r#"{"prompt":"p","max_tokens":0.0,"echo":true}"#),
        ("/completion", r#"{"prompt":"p","n_predict":0,"max_tokens":5}"#),
        ("/generate", r#"{"text":"t","sampling_params":{"max_new_tokens":0}}"#),
    ] {
        let (same, output) = limited(9, path, body).unwrap();
        assert_eq!((&*same, output.bounded), (body, true), "{body}");
        assert_eq!(output.tokens, if body.contains('5') { 5 } else { 0 });
    }
    assert_eq!(
        edited("/completion", r#"{"prompt":"p","n_predict":0}"#),
        r#"{"prompt":"p","n_predict":0,"max_tokens":9}"#
    );
    for (path, body) in [
        ("/v1/completions", r#"{"prompt":"p","max_tokens":0}"#),
        ("/v1/completions", r#"{"prompt":"p","max_tokens":0,"echo":false}"#),
        ("/v1/chat/completions", r#"{"messages":[],"max_tokens":0,"echo":true}"#),
        ("/v1/chat/completions", r#"{"messages":[],"n_predict":0}"#),
        ("/", r#"{"prompt":"p","inputs":"i","max_tokens":0,"echo":true}"#),
        ("/generate", r#"{"inputs":"t","sampling_params":{"max_new_tokens":0}}"#),
        ("/generate", r#"{"inputs":"t","parameters":{"max_new_tokens":0}}"#),
        ("/predict", r#"{"inputs":"t","max_tokens":0}"#),
        ("/v1/unknown", r#"{"prompt":"p","max_tokens":0,"echo":true}"#),
    ] {
        assert_eq!(refused(path, body).1, "minimum", "{path} {body}");
    }
}
