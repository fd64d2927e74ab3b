use super::*;
use crate::{
    model::{BodyForm, Profile},
    payload::Document,
    rejection::Refusal,
};

#[path = "unknown_form_tests.rs"]
mod unknown_forms;

const CHAT: &str = "/v1/chat/completions";

/// Returns the body for the upstream and its maximum output.
fn limited(most: u32, path: &str, body: &str) -> Result<(String, OutputBound), Rejection> {
    limited_for(&Profile::compatible(), most, path, body)
}

fn limited_for(
    profile: &Profile,
    most: u32,
    path: &str,
    body: &str,
) -> Result<(String, OutputBound), Rejection> {
    let document = Document::parse(body.to_owned()).unwrap();
    let tokens = OutputTokens::new(most);
    let mut edits = document.edit();
    let output = tokens.apply(&mut edits, profile.takes(path), profile.limit_of_chats())?;
    let bytes = edits.finish().unwrap_or_else(|| document.bytes().clone());
    Ok((String::from_utf8(bytes.to_vec()).unwrap(), output))
}

#[track_caller]
fn edited(path: &str, body: &str) -> String {
    limited(9, path, body).unwrap().0
}

/// Returns pointer and keyword of the violation.
#[track_caller]
fn refused(path: &str, body: &str) -> (String, String) {
    let rejection = limited(9, path, body).unwrap_err();
    assert_eq!(rejection.refusal(), Refusal::InvalidPayload, "{body}");
    let [violation] = rejection.violations() else { panic!("one violation") };
    assert_eq!(rejection.detail(), violation.to_string());
    (violation.pointer.clone(), violation.keyword.clone().into_owned())
}

#[test]
fn each_form_gets_its_missing_limit() {
    for (path, body, expected) in [
        (CHAT, "{}", r#"{"max_tokens":9}"#),
        (CHAT, r#"{"messages":[]}"#, r#"{"messages":[],"max_tokens":9}"#),
        ("/v1/messages", r#"{"messages":[]}"#, r#"{"messages":[],"max_tokens":9}"#),
        ("/v1/completions", r#"{"prompt":"p"}"#, r#"{"prompt":"p","max_tokens":9}"#),
        ("/v1/responses", r#"{"input":"i"}"#, r#"{"input":"i","max_output_tokens":9}"#),
        ("/v1/responses", r#"{"prompt":{}}"#, r#"{"prompt":{},"max_output_tokens":9}"#),
        ("/generate", "{}", r#"{"parameters":{"max_new_tokens":9}}"#),
        (
            "/generate",
            r#"{"inputs":"i","parameters":{ "top_p": 1.0 }}"#,
            r#"{"inputs":"i","parameters":{ "top_p": 1.0,"max_new_tokens":9 }}"#,
        ),
        (
            "/generate_stream",
            r#"{"inputs":"i","parameters":null}"#,
            r#"{"inputs":"i","parameters":{"max_new_tokens":9}}"#,
        ),
        (
            "/generate",
            r#"{"text":"i","sampling_params":{"n":2}}"#,
            r#"{"text":"i","sampling_params":{"n":2,"max_new_tokens":9}}"#,
        ),
        ("/generate", r#"{"prompt":"i"}"#, r#"{"prompt":"i","max_tokens":9}"#),
        ("/", r#"{"inputs":"i"}"#, r#"{"inputs":"i","parameters":{"max_new_tokens":9}}"#),
        ("/", r#"{"messages":[]}"#, r#"{"messages":[],"max_tokens":9}"#),
        ("/invocations", r#"{"prompt":"i"}"#, r#"{"prompt":"i","max_tokens":9}"#),
        (
            "/models/org/name",
            r#"{"inputs":["i","j"]}"#,
            r#"{"inputs":["i","j"],"parameters":{"max_new_tokens":9}}"#,
        ),
        (
            "/predict",
            r#"{"inputs":"i","parameters":{}}"#,
            r#"{"inputs":"i","parameters":{"max_new_tokens":9}}"#,
        ),
        // Limits that another form alone knows, and a length of the whole, which says little of
        // what is generated.
        (
            "/",
            r#"{"inputs":"i","max_tokens":3}"#,
            r#"{"inputs":"i","max_tokens":3,"parameters":{"max_new_tokens":9}}"#,
        ),
        (
            CHAT,
            r#"{"messages":[],"max_output_tokens":3}"#,
            r#"{"messages":[],"max_output_tokens":3,"max_tokens":9}"#,
        ),
        (
            "/v1/completions",
            r#"{"max_completion_tokens":3}"#,
            r#"{"max_completion_tokens":3,"max_tokens":9}"#,
        ),
        (
            "/generate",
            r#"{"inputs":"i","parameters":{"max_length":3}}"#,
            r#"{"inputs":"i","parameters":{"max_length":3,"max_new_tokens":9}}"#,
        ),
        (CHAT, r#"{"max_tokens":null}"#, r#"{"max_tokens":9}"#),
        (
            CHAT,
            r#"{"max_completion_tokens":null}"#,
            r#"{"max_completion_tokens":null,"max_tokens":9}"#,
        ),
    ] {
        assert_eq!(edited(path, body), expected, "{path} {body}");
        assert_eq!(edited(path, expected), expected, "{path} {expected}");
    }
}

#[test]
fn a_chat_has_its_limit_under_the_name_of_the_profile() {
    for (body, expected) in [
        (r#"{"max_completion_tokens":3}"#, r#"{"max_tokens":3}"#),
        (r#"{ "max_completion_tokens" : 30 , "n":1}"#, r#"{ "max_tokens" : 9 , "n":1}"#),
        (r#"{"max_completion_tokens":-1}"#, r#"{"max_tokens":9}"#),
        // Of both names, each server reads one.
        (
            r#"{"max_tokens":3,"max_completion_tokens":30}"#,
            r#"{"max_tokens":3,"max_completion_tokens":9}"#,
        ),
        (
            r#"{"max_tokens":null,"max_completion_tokens":3}"#,
            r#"{"max_tokens":9,"max_completion_tokens":3}"#,
        ),
    ] {
        assert_eq!(edited(CHAT, body), expected, "{body}");
    }
    let body = r#"{"max_completion_tokens":3}"#;
    assert_eq!(limited_for(&Profile::openai(), 9, CHAT, body).unwrap().0, body);
    assert_eq!(
        edited(
            "/vertex",
            r#"{"instances":[{"messages":[],"max_completion_tokens":3},{"messages":[]}]}"#
        ),
        r#"{"instances":[{"messages":[],"max_tokens":3},{"messages":[],"max_tokens":9}]}"#
    );
}

#[test]
fn a_body_of_several_forms_gets_each_limit() {
    assert_eq!(
        edited("/", r#"{"messages":[],"inputs":"i","prompt":"p","max_completion_tokens":3}"#),
        r#"{"messages":[],"inputs":"i","prompt":"p","max_tokens":3,"parameters":{"max_new_tokens":9}}"#
    );
    let body = r#"{"messages":[],"inputs":"i","max_tokens":4,"parameters":{"max_new_tokens":7}}"#;
    let (same, output) = limited(9, "/", body).unwrap();
    assert_eq!((same.as_str(), output.tokens, output.bounded), (body, 7, true));
}

#[test]
fn each_instance_gets_the_limit_of_its_form() {
    let (went, output) = limited(
        9,
        "/vertex",
        r#"{"instances":[{"inputs":"a"},{"messages":[],"max_tokens":5000,"n":3},{"inputs":"b","parameters":{"max_new_tokens":4}}]}"#,
    )
    .unwrap();
    assert_eq!(
        went,
        r#"{"instances":[{"inputs":"a","parameters":{"max_new_tokens":9}},{"messages":[],"max_tokens":9,"n":3},{"inputs":"b","parameters":{"max_new_tokens":4}}]}"#
    );
    assert_eq!((output.tokens, output.bounded), (9 + 3 * 9 + 4, true));

    // Texts share what stands beside them.
    let (went, output) =
        limited(9, "/vertex", r#"{"instances":["a","b"],"parameters":{"max_new_tokens":99}}"#)
            .unwrap();
    assert_eq!(went, r#"{"instances":["a","b"],"parameters":{"max_new_tokens":9}}"#);
    assert_eq!((output.tokens, output.bounded), (18, true));
    assert_eq!(
        edited("/vertex", r#"{"instances":["a"]}"#),
        r#"{"instances":["a"],"parameters":{"max_new_tokens":9}}"#
    );

    // An instance of an unknown form is judged, and not edited.
    let unknown = r#"{"instances":[{"content":"a","maxOutputTokens":9}]}"#;
    let (same, output) = limited(9, "/vertex", unknown).unwrap();
    assert_eq!((same.as_str(), output.tokens, output.bounded), (unknown, 9, false));
    let at = |pointer: &str, keyword: &str| (pointer.to_owned(), keyword.to_owned());
    for (body, expected) in [
        (
            r#"{"instances":[{},{"content":"a","maxOutputTokens":10}]}"#,
            at("/instances/1/maxOutputTokens", "maximum"),
        ),
        (
            r#"{"instances":[{"inputs":"a","parameters":{"max_new_tokens":0}}]}"#,
            at("/instances/0/parameters/max_new_tokens", "minimum"),
        ),
        (
            r#"{"instances":[{"inputs":"a","Parameters":{}}]}"#,
            at("/instances/0/parameters", "propertyNames"),
        ),
        // Arrays, which serde takes for structs.
        (r#"{"instances":[["a",{"max_new_tokens":99}]]}"#, at("/instances/0", "type")),
        (
            r#"{"instances":[{"inputs":"a","parameters":[null,99]}]}"#,
            at("/instances/0/parameters", "type"),
        ),
        (r#"{"instances":{"inputs":"a"}}"#, at("/instances", "type")),
    ] {
        assert_eq!(refused("/vertex", body), expected, "{body}");
    }
    let many = |count| format!(r#"{{"instances":[{}"c"]}}"#, r#"{"inputs":"a"},"#.repeat(count));
    assert!(limited(9, "/vertex", &many(MAX_INSTANCES - 1)).is_ok());
    assert_eq!(refused("/vertex", &many(MAX_INSTANCES)), at("/instances", "maxItems"));
}

#[test]
fn no_spelling_bypasses_the_limit() {
    for name in [
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_new_tokens",
        "n_predict",
        "maxTokens",
        "max_tokens_to_sample",
        "parameters/max_new_tokens",
        "parameters/max_tokens",
        "parameters/max_length",
        "parameters/maxOutputTokens",
        "parameters/generation_parameters/max_new_tokens",
        "parameters/generation_parameters/max_length",
        "parameters/generate_parameters/max_new_tokens",
        "parameters/generate_kwargs/max_length",
        "sampling_params/max_new_tokens",
        "options/num_predict",
        "generationConfig/maxOutputTokens",
        "inferenceConfig/maxTokens",
        "extra_body/options/num_predict",
    ] {
        let body = |value: &str| {
            let whole = name
                .rsplit('/')
                .fold(value.to_owned(), |inner, name| format!("{{\"{name}\":{inner}}}"));
            Document::parse(whole).unwrap()
        };
        let here = format!("/{name}");
        for (path, others) in [
            (CHAT, ""),
            (CHAT, r#""messages":[],"#),
            ("/v1/responses", r#""input":"","#),
            ("/generate", r#""inputs":"","#),
            ("/", r#""inputs":"","#),
            ("/", r#""inputs":{},"#),
            ("/models/gpt2", r#""messages":[],"#),
            ("/v1/messages", r#""messages":[],"#),
        ] {
            let whole = |value: &str| {
                String::from_utf8(body(value).bytes().to_vec()).unwrap().replacen(
                    '{',
                    &format!("{{{others}"),
                    1,
                )
            };
            let read = |text: &str| {
                let document = Document::parse(text.to_owned()).unwrap();
                let is_chat = matches!(path, CHAT | "/models/gpt2");
                let renamed = is_chat && name == "max_completion_tokens";
                let there = if renamed { "/max_tokens" } else { &*here };
                document.root().pointer(there).and_then(Node::as_u64)
            };
            assert_eq!(read(&edited(path, &whole("10"))), Some(9), "{path} {name}");
            assert_eq!(read(&edited(path, &whole("8"))), Some(8), "{path} {name}");
            for (value, keyword) in [("-2", "minimum"), ("0", "minimum"), ("\"5\"", "type")] {
                let expected = (here.clone(), keyword.to_owned());
                assert_eq!(refused(path, &whole(value)), expected, "{path}");
            }
        }
        // Where the form is unknown, nothing is edited.
        for path in ["/", "/vertex", "/models/gpt2", "/some/other/route"] {
            let text = |value: &str| String::from_utf8(body(value).bytes().to_vec()).unwrap();
            let (same, output) = limited(9, path, &text("9")).unwrap();
            assert_eq!((same, output.tokens, output.bounded), (text("9"), 9, false));
            for (value, keyword) in
                [("10", "maximum"), ("1e9", "maximum"), ("-1", "maximum"), ("\"5\"", "type")]
            {
                let expected = (here.clone(), keyword.to_owned());
                assert_eq!(refused(path, &text(value)), expected, "{path} {name}");
            }
        }
    }
}

#[test]
fn a_body_of_an_unknown_form_is_checked_at_every_depth() {
    let at = |pointer: &str| (pointer.to_owned(), "maximum".to_owned());
    for (body, pointer) in [
        (r#"[{"inputs":"a"},{"max_tokens":10}]"#, "/1/max_tokens"),
        (r#"{"requests":[{"params":{"max_tokens":10}}]}"#, "/requests/0/params/max_tokens"),
        (r#"{"input":{"prompt":"a","max_new_tokens":10}}"#, "/input/max_new_tokens"),
        (r#"{"inputs":[[{"max_length":10}]]}"#, "/inputs/0/0/max_length"),
        (r#"{"parameters":[{"max_new_tokens":10}]}"#, "/parameters/0/max_new_tokens"),
    ] {
        assert_eq!(refused("/some/other/route", body), at(pointer), "{body}");
    }
    // A name elsewhere is a name of something else.
    for body in [
        r#"{"tools":[{"properties":{"max_tokens":{"type":"integer"}}}]}"#,
        r#"{"query":"q","texts":["max_tokens"]}"#,
        r#"[1,"max_tokens"]"#,
        "7",
    ] {
        let (same, output) = limited(9, "/some/other/route", body).unwrap();
        assert_eq!((same.as_str(), output.tokens, output.bounded), (body, 9, false));
    }
}

#[test]
fn routes_that_generate_no_text_are_not_edited() {
    for (path, body) in [
        ("/v1/embeddings", r#"{"input":"x","max_tokens":5000,"MAX_TOKENS":"x"}"#),
        ("/v1/images/generations", r#"{"prompt":"x"}"#),
        ("/v1/audio/speech", r#"{"input":"x"}"#),
        ("/embed", r#"{"inputs":"x"}"#),
        ("/rerank", r#"[]"#),
        ("/predict", r#"{"inputs":[["a","b"]]}"#),
        ("/models/a/b/pipeline/feature-extraction", r#"{"inputs":"x"}"#),
    ] {
        let (same, output) = limited(9, path, body).unwrap();
        assert_eq!((same.as_str(), output.tokens, output.bounded), (body, 0, true), "{path}");
    }
}

#[test]
fn a_task_without_text_has_its_limits_lowered_and_none_added() {
    let (went, output) =
        limited(9, "/", r#"{"inputs":{"question":"q"},"parameters":{"max_length":99}}"#).unwrap();
    assert_eq!(went, r#"{"inputs":{"question":"q"},"parameters":{"max_length":9}}"#);
    assert_eq!((output.tokens, output.bounded), (9, false));
    let silent = r#"{"inputs":{"question":"q"}}"#;
    assert_eq!(edited("/models/qa", silent), silent);
}

#[test]
fn a_body_that_is_not_an_object_is_rejected_on_known_routes() {
    for body in ["[]", r#"["a",{"max_new_tokens":99}]"#, "1", "\"a\"", "null", "true"] {
        for path in [CHAT, "/", "/generate", "/models/gpt2", "/vertex", "/invocations"] {
            assert_eq!(refused(path, body), (String::new(), "type".to_owned()), "{path} {body}");
        }
    }
    for (path, body) in [
        ("/generate", r#"{"inputs":"a","parameters":[null,99]}"#),
        ("/", r#"{"inputs":"a","parameters":"max_new_tokens=99"}"#),
        ("/generate", r#"{"text":"a","sampling_params":[{"max_new_tokens":99}]}"#),
    ] {
        assert_eq!(refused(path, body).1, "type", "{body}");
    }
}

#[test]
fn completions_and_prompts_multiply_the_output() {
    let tokens = |path, body| limited(9, path, body).unwrap().1.tokens;
    for (path, body, expected) in [
        (CHAT, r#"{"n":3}"#, 27),
        (CHAT, r#"{"n":3.0}"#, 27),
        (CHAT, r#"{"n":null}"#, 9),
        (CHAT, r#"{"max_tokens":2,"max_completion_tokens":5}"#, 5),
        // Ends of the other kind change no bound.
        (CHAT, r#"{"max_tokens":2,"min_tokens":99,"ignore_eos":true}"#, 2),
        ("/v1/completions", r#"{"prompt":["a","b"],"best_of":2}"#, 36),
        ("/v1/completions", r#"{"prompt":[1,2,3]}"#, 9),
        ("/v1/completions", r#"{"prompt":[[1],[2]]}"#, 18),
        ("/generate", r#"{"inputs":"a","parameters":{"best_of":4}}"#, 36),
        ("/generate", r#"{"text":["a","b"],"sampling_params":{"n":2}}"#, 36),
        ("/", r#"{"inputs":["a","b"],"parameters":{"num_return_sequences":5}}"#, 90),
        ("/other", r#"{"generationConfig":{"candidateCount":4}}"#, 36),
    ] {
        assert_eq!(tokens(path, body), expected, "{body}");
    }
    for body in [r#"{"n":0}"#, r#"{"n":"2"}"#, r#"{"n":1.5}"#, r#"{"n":-1}"#, r#"{"n":1e99}"#] {
        assert_eq!(limited(9, CHAT, body).unwrap().1.miscounted.unwrap(), "/n", "{body}");
    }
}

#[test]
fn a_name_in_another_case_is_rejected() {
    let twin = |pointer: &str| (pointer.to_owned(), "propertyNames".to_owned());
    for body in [
        r#"{"max_tokens":5,"Max_Tokens":100000}"#,
        r#"{"MAX_TOKENS":100000,"max_tokens":5}"#,
        r#"{"max_token\u017f":100000}"#,
        "{\"max_to\u{212a}en\u{17f}\":100000}",
    ] {
        assert_eq!(refused(CHAT, body), twin("/max_tokens"), "{body}");
        assert_eq!(refused("/other", body), twin("/max_tokens"), "{body}");
    }
    for (body, pointer) in [
        (r#"{"Parameters":{"max_new_tokens":100000}}"#, "/parameters"),
        (r#"{"parameters":{"Max_new_tokens":5}}"#, "/parameters/max_new_tokens"),
        (r#"{"messages":[],"Inputs":"x"}"#, "/inputs"),
        (r#"{"N":100}"#, "/n"),
    ] {
        assert_eq!(refused("/", body), twin(pointer), "{body}");
    }
}

#[test]
fn earlier_edits_are_respected() {
    let (inputs, parameters) = (Pointer::new(["inputs"]), Pointer::new(["parameters"]));
    let (text, large) = (
        Literal::from("a"),
        Literal::from(serde_json::json!({ "max_new_tokens": 99, "top_p": 1 })),
    );
    let document = Document::parse(r#"{"model":"m","parameters":null}"#).unwrap();
    let tokens = OutputTokens::new(9);
    let mut edits = document.edit();
    edits.set(&inputs, &text).unwrap();
    edits.set(&parameters, &large).unwrap();
    tokens.apply(&mut edits, Profile::compatible().takes("/"), OutputLimit::MaxTokens).unwrap();
    assert_eq!(
        edits.finish().unwrap(),
        r#"{"model":"m","parameters":{"max_new_tokens":9,"top_p":1},"inputs":"a"}"#
    );

    let document = Document::parse(r#"{"max_tokens":5,"messages":[1,2]}"#).unwrap();
    let (limit, messages) = (Pointer::new(["max_tokens"]), Pointer::new(["messages"]));
    let mut edits = document.edit();
    edits.remove(&limit).unwrap();
    edits.insert_first(&messages, &text).unwrap();
    tokens.apply(&mut edits, Profile::compatible().takes(CHAT), OutputLimit::MaxTokens).unwrap();
    assert_eq!(edits.finish().unwrap(), r#"{"messages":["a",1,2],"max_tokens":9}"#);
}

#[test]
fn the_profile_names_only_the_limit_of_a_chat() {
    let openai = Profile::openai();
    for (path, body, expected) in [
        (CHAT, r#"{"messages":[]}"#, r#"{"messages":[],"max_completion_tokens":9}"#),
        (CHAT, r#"{"max_tokens":3}"#, r#"{"max_tokens":3}"#),
        (CHAT, r#"{"max_tokens":30}"#, r#"{"max_tokens":9}"#),
        ("/", r#"{"messages":[]}"#, r#"{"messages":[],"max_completion_tokens":9}"#),
        ("/v1/completions", "{}", r#"{"max_tokens":9}"#),
        ("/v1/messages", "{}", r#"{"max_tokens":9}"#),
        ("/v1/responses", "{}", r#"{"max_output_tokens":9}"#),
    ] {
        assert_eq!(limited_for(&openai, 9, path, body).unwrap().0, expected, "{path} {body}");
    }
    let chosen = Profile::compatible().output_limit(OutputLimit::MaxCompletionTokens);
    let (body, _) = limited_for(&chosen, 9, CHAT, "{}").unwrap();
    assert_eq!(body, r#"{"max_completion_tokens":9}"#);
}

#[test]
fn inputs_of_a_model_that_generates_nothing_are_not_edited() {
    let tei = Profile::tei("m");
    for (path, body) in [
        ("/", r#"{"inputs":"i"}"#),
        ("/vertex", r#"{"inputs":["i","j"],"parameters":{"max_length":512}}"#),
        ("/invocations", r#"{"inputs":{"question":"q","context":"c"}}"#),
        ("/models/m", r#"{"inputs":"i"}"#),
        ("/predict", r#"{"inputs":"i","parameters":{}}"#),
        ("/", r#"{"instances":[{"inputs":"i"},"j"]}"#),
    ] {
        let (edited, output) = limited_for(&tei, 9, path, body).unwrap();
        assert_eq!(edited, body, "{path}");
        assert_eq!((output.tokens, output.bounded), (0, true), "{path} {body}");
    }
    // Another form beside them has its limit.
    let (edited, output) = limited_for(&tei, 9, "/", r#"{"inputs":"i","messages":[]}"#).unwrap();
    assert_eq!(edited, r#"{"inputs":"i","messages":[],"max_tokens":9}"#);
    assert_eq!(output.tokens, 9);
}

#[test]
fn an_added_route_has_the_form_of_the_profile() {
    let profile = Profile::compatible()
        .route("/ask", BodyForm::Chat)
        .route("/", BodyForm::Reads)
        .route("/v1/chat/completions", BodyForm::Unknown);
    let limit = |path, body| limited_for(&profile, 9, path, body);
    for path in ["/ask", "/ask/", "//ask", "/Ask", "/as%6B", "/x/../ask", "/ask;v=1"] {
        assert_eq!(limit(path, "{}").unwrap().0, r#"{"max_tokens":9}"#, "{path}");
    }
    assert_eq!(limit("/", r#"{"inputs":"i"}"#).unwrap().0, r#"{"inputs":"i"}"#);
    assert_eq!(limit(CHAT, "{}").unwrap().0, "{}");
    assert!(limit(CHAT, r#"{"max_tokens":10}"#).is_err());
    assert_eq!(limit("/asks", "{}").unwrap().0, "{}");
}
