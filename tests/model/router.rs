//! Targets of the router.

use http_body_util::Full;
use tower_inference::model::ProviderPolicy;

use super::*;

#[test]
fn the_routers_own_routes_reach_the_bodys_model() {
    let rows = [
        (CHAT, r#"{"model":"org/name"}"#, Ok("org/name:fastest")),
        (CHAT, r#"{"model":"org/name:fastest"}"#, Ok("org/name:fastest")),
        (CHAT, r#"{"model":"org/name:cheapest"}"#, Ok("org/name:cheapest")),
        (CHAT, r#"{"model":"org/name:preferred"}"#, Ok("org/name:preferred")),
        (CHAT, r#"{"model":"org/name:together"}"#, Ok("org/name:together")),
        (CHAT, r#"{"model":"org/name:hf-inference"}"#, Ok("org/name:hf-inference")),
        (CHAT, r#"{"messages":[{"model":"x"}],"model":"gpt2:groq"}"#, Ok("gpt2:groq")),
        (CHAT, r#"{"model":"Org/Na.me_1-x:Groq"}"#, Ok("Org/Na.me_1-x:Groq")),
        (CHAT, r#"{"mod\u0065l":"org/n\u0061me:\u0074ogether"}"#, Ok("org/name:together")),
        ("/v1/chat/completions?r=1&model=x", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("https://elsewhere.example/v1/completions", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/completions", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/embeddings", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/responses", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/images/generations", r#"{"model":"m:groq"}"#, Ok("m:groq")),
        ("/v1/audio/speech", r#"{"model":"m:groq"}"#, Ok("m:groq")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_body_without_a_model_has_no_target() {
    let rows = [
        (CHAT, r"{}", Err(TargetError::Missing)),
        (CHAT, r#"{"messages":[]}"#, Err(TargetError::Missing)),
        (CHAT, r#"{"model":null}"#, Err(TargetError::Missing)),
        (CHAT, r#"[{"model":"org/name"}]"#, Err(TargetError::Missing)),
        (CHAT, r#""org/name""#, Err(TargetError::Missing)),
        (CHAT, "", Err(EMPTY)),
    ];
    check(&Profile::router(), &rows);
    assert_eq!(malformed(CHAT, "model=org/name"), JsonFault::ExpectedValue);
    assert_eq!(malformed(CHAT, r#"{"model":"a","model":"b"}"#), JsonFault::DuplicateName);
    assert_eq!(malformed(CHAT, r#"{"model":"a","mod\u0065l":"b"}"#), JsonFault::DuplicateName);
}

#[test]
fn an_invalid_name_has_no_target() {
    let long = format!("{{\"model\":\"{}\"}}", "n".repeat(257));
    let escaped = format!("{{\"model\":\"{}\"}}", "\\u006e".repeat(100_000));
    let word = format!("{{\"model\":\"org/{}\"}}", "n".repeat(97));
    for body in [&*long, &escaped, &word] {
        assert_eq!(reached(&Profile::router(), &post(CHAT, body)), Err(TargetError::Name));
    }
    for model in [
        r#""""#,
        "1",
        "true",
        "[]",
        r#"["org/name"]"#,
        r#"{"id":"org/name"}"#,
        r#""http://127.0.0.1:8080""#,
        r#""https://router.huggingface.co/together""#,
        r#""HTTPS://evil.example""#,
        r#""//evil.example""#,
        r#""http:/evil.example""#,
        r#""/org/name""#,
        r#""org/name/""#,
        r#""org//name""#,
        r#""org/name/x""#,
        r#""../org/name""#,
        r#""org/..""#,
        r#""org/a..b""#,
        r#""..""#,
        r#"".""#,
        r#"".hidden/name""#,
        r#""org\\name""#,
        r#""org/name ""#,
        r#"" org/name""#,
        r#""org/na me""#,
        r#""org/name\n""#,
        r#""org/name\u0000""#,
        r#""org%2fname""#,
        r#""org/name?x=1""#,
        r##""org/name#x""##,
        r#""org/name@main""#,
        r#""org/n\u00e4me""#,
        r#""org\u2215name""#,
        r#""org/name:""#,
        r#"":together""#,
        r#"":""#,
        r#""org/name:together:groq""#,
        r#""org/name:together/v1""#,
        r#""org/name:..""#,
        r#""org/name: together""#,
        r#""org/name:together ""#,
        r#""org:together/name""#,
        r#""*""#,
        r#""org/*""#,
    ] {
        let body = format!("{{\"model\":{model}}}");
        let found = reached(&Profile::router(), &post(CHAT, &body));
        assert_eq!(found, Err(TargetError::Name), "{model}");
    }
}

#[test]
fn a_member_that_some_read_as_the_model_has_no_target() {
    for member in [
        "Model",
        "MODEL",
        "mODEL",
        r"\u004dodel",
        "models",
        "model\u{17f}",
        "MODEL\\u017F",
        "provider",
        "Provider",
        "providers",
        "provider\u{17f}",
        "fallbacks",
        "fallbac\u{212a}\u{17f}",
    ] {
        for body in [
            format!(r#"{{"model":"org/name","{member}":"x"}}"#),
            format!(r#"{{"{member}":"x","model":"org/name"}}"#),
            format!(r#"{{"{member}":null}}"#),
        ] {
            let paths =
                [CHAT, "/hf-inference/models/org/name", "/together/v1/completions", "/fal-ai/x"];
            for path in paths {
                let found = reached(&Profile::router(), &post(path, &body));
                assert_eq!(found, Err(TargetError::Ambiguous), "{path} {body}");
            }
            let found = reached(&Profile::compatible(), &post(CHAT, &body));
            assert_eq!(found, Err(TargetError::Ambiguous), "{body}");
        }
    }
}

#[test]
fn a_path_names_the_model_of_hf_inference() {
    let hf = "org/name:hf-inference";
    let rows = [
        ("/hf-inference/models/org/name", r#"{"inputs":"x"}"#, Ok(hf)),
        ("/hf-inference/models/org/name", "", Ok(hf)),
        ("/hf-inference/models/org/name", "\u{1}\u{2} sound", Ok(hf)),
        ("/hf-inference/models/org/name", "[1,", Ok(hf)),
        ("/hf-inference/models/org/name/pipeline/feature-extraction", "{}", Ok(hf)),
        ("/hf-inference/models/org/name/v1/chat/completions", "{}", Ok(hf)),
        ("/hf-inference/models/org/name/v1/chat/completions", r#"{"model":"org/name"}"#, Ok(hf)),
        ("/hf-inference/models/org/name", r#"{"model":null}"#, Ok(hf)),
        ("/hf-inference/models/org/name", r#"{"model":"org/name:hf-inference"}"#, Ok(hf)),
        ("/hf-inference/models/gpt2", "{}", Ok("gpt2:hf-inference")),
        ("/models/org/name", "{}", Ok(hf)),
        ("/models/gpt2/v1/completions", "{}", Ok("gpt2:hf-inference")),
        ("/models/gpt2/pipeline/sentence-similarity", "{}", Ok("gpt2:hf-inference")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_path_and_a_body_that_disagree_have_no_target() {
    let conflict = Err(TargetError::Conflict);
    let path = "/hf-inference/models/org/name";
    let rows = [
        (path, r#"{"model":"org/other"}"#, conflict),
        (path, r#"{"model":"Org/name"}"#, conflict),
        (path, r#"{"model":"org/name:together"}"#, conflict),
        (path, r#"{"model":"org/name:fastest"}"#, conflict),
        (path, r#"{"model":"http://127.0.0.1:55563/models/gpt2"}"#, conflict),
        ("/models/gpt2/v1/completions", r#"{"model":"gpt3"}"#, conflict),
        (path, r#"{"model":7}"#, Err(TargetError::Name)),
        (path, r#"{"model":""}"#, Err(TargetError::Name)),
        ("/together/v1/completions", r#"{"model":"m:groq"}"#, conflict),
        ("/together/v1/completions", r#"{"model":"m:fastest"}"#, conflict),
        ("/together/v1/completions", r#"{"model":"http://evil.example"}"#, conflict),
        ("/fal-ai/fal-ai/flux", r#"{"model":"m:groq"}"#, conflict),
    ];
    check(&Profile::router(), &rows);
    // What a reader that is less strict might find an object in.
    assert_eq!(malformed(path, r#"{"model":"a","model":"org/name"}"#), JsonFault::DuplicateName);
    assert_eq!(malformed(path, r#" {"model":"a" "#), JsonFault::UnexpectedEnd);
    assert_eq!(malformed(path, "\u{feff}{\"model\":\"a\"}"), JsonFault::ByteOrderMark);
}

#[test]
fn a_provider_has_routes_of_its_own() {
    let name = Err(TargetError::Name);
    let rows = [
        ("/together/v1/chat/completions", r#"{"model":"org/name"}"#, Ok("org/name:together")),
        ("/together/v1/chat/completions", r#"{"model":"m:together"}"#, Ok("m:together")),
        ("/groq/openai/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:groq")),
        ("/cohere/compatibility/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:cohere")),
        (
            "/fireworks-ai/inference/v1/chat/completions",
            r#"{"model":"accounts/fireworks/models/m"}"#,
            Ok("accounts/fireworks/models/m:fireworks-ai"),
        ),
        ("/hf-inference/v1/chat/completions", r#"{"model":"m"}"#, Ok("m:hf-inference")),
        ("/fal-ai/fal-ai/flux/dev", r#"{"prompt":"x"}"#, Ok("*:fal-ai")),
        ("/replicate/v1/models/org/name/predictions", "{}", Ok("*:replicate")),
        ("/replicate/v1/predictions", r#"{"version":"a","model":"m"}"#, Ok("*:replicate")),
        ("/together/", "", Ok("*:together")),
        ("/api/whoami-v2", "", Ok("*:api")),
        ("/together/v1/chat/completions", "{}", Err(TargetError::Missing)),
        ("/together/v1/chat/completions", "", Err(EMPTY)),
        ("/together/v1/chat/completions", r#"{"model":"../m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"/m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"a//m"}"#, name),
        ("/together/v1/chat/completions", r#"{"model":"a m"}"#, name),
    ];
    check(&Profile::router(), &rows);
    let poll = request(Method::GET, "/fal-ai/flux/requests/1", Payload::default());
    assert_eq!(
        Profile::router().target(&poll).unwrap().provider,
        Provider::Route("fal-ai"),
        "how a provider is asked whether it is done"
    );
}

#[test]
fn an_ambiguous_path_has_no_target() {
    let body = r#"{"model":"org/name"}"#;
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completion%73",
        "/%761/chat/completions",
        "/v1/chat/completions;x",
        "/v1/chat/completions:x",
        "/hf-inference/models/org%2Fname",
        "/hf-inference/models/%2e%2e/name",
        "/hf-inference/models/org/../name",
        "/hf-inference/models/org//name",
        "/hf-inference/models/org/name%00",
        "/hf-inference/../together/v1/chat/completions",
        "/together/..%2fgroq/v1/chat/completions",
        "/together/../groq/v1/chat/completions",
        "/%74ogether/v1/chat/completions",
        "/./v1/models",
        "/..",
    ] {
        for upstream in [Profile::router(), Profile::compatible(), Profile::endpoint("org/name")] {
            assert_eq!(reached(&upstream, &post(path, body)), Err(TargetError::Path), "{path}");
        }
    }
}

#[test]
fn other_routes_reach_no_model() {
    let body = r#"{"model":"org/name:together"}"#;
    let route = Err(TargetError::Route);
    for path in
        ["/", "/v1", "/v1/", "/v1/models", "/v1/files", "/v1/batches", "/v1/chat/completions/"]
    {
        assert_eq!(reached(&Profile::router(), &post(path, body)), route, "{path}");
        assert_eq!(reached(&Profile::compatible(), &post(path, body)), route, "{path}");
    }
    for path in ["/health", "/metrics", "/together", "/models", "/.well-known/x"] {
        assert_eq!(reached(&Profile::router(), &post(path, body)), route, "{path}");
    }
    for path in ["/models/", "/models/a/b/c", "/hf-inference/models/", "/models/a/", "/models/.a/b"]
    {
        let found = reached(&Profile::router(), &post(path, body));
        assert_eq!(found, Err(TargetError::Name), "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in [CHAT, "/hf-inference/models/org/name"] {
            let request = request(method.clone(), path, Payload::buffered(body));
            assert_eq!(reached(&Profile::router(), &request), route, "{method} {path}");
        }
    }
}

#[test]
fn other_spellings_of_a_path_are_other_providers() {
    // Nobody has listed them.
    let body = r#"{"model":"org/name"}"#;
    let rows = [
        ("/V1/chat/completions", body, Ok("*:V1")),
        ("/Together/v1/chat/completions", body, Ok("org/name:Together")),
        ("/HF-Inference/models/org/name", body, Ok("*:HF-Inference")),
        ("/hf-inference/Models/org/name", body, Ok("*:hf-inference")),
    ];
    check(&Profile::router(), &rows);
}

#[test]
fn a_streamed_body_names_no_model() {
    let streamed = |path| request(Method::POST, path, Payload::streamed(Full::from("{}")));
    let router = Profile::router();
    for (path, expected) in [
        ("/hf-inference/models/org/name", Ok("org/name:hf-inference")),
        ("/models/gpt2", Ok("gpt2:hf-inference")),
        ("/models/gpt2/pipeline/image-to-image", Ok("gpt2:hf-inference")),
        ("/fal-ai/fal-ai/flux", Ok("*:fal-ai")),
        (CHAT, Err(STREAMED)),
        ("/together/v1/chat/completions", Err(STREAMED)),
        ("/hf-inference/models/org/name/v1/chat/completions", Err(STREAMED)),
        ("/v1/audio/transcriptions", Err(STREAMED)),
    ] {
        let found = reached(&router, &streamed(path));
        assert_eq!(found.as_deref().map_err(|error| *error), expected, "{path}");
    }
    assert_eq!(reached(&Profile::compatible(), &streamed(CHAT)), Err(STREAMED));
    assert_eq!(reached(&Profile::endpoint("m"), &streamed(CHAT)), Ok("m".to_owned()));
}

#[test]
fn a_body_of_another_type_is_not_read_as_json() {
    // A form that is valid JSON as well, and names two models.
    let body = r#"{"model":"org/name","x":"&model=evil&"}"#;
    for media_type in [
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("text/plain"),
        Some("application/json; charset=utf-7"),
        None,
    ] {
        let mut request = post(CHAT, body);
        request.headers_mut().remove(CONTENT_TYPE);
        if let Some(media_type) = media_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        for upstream in [Profile::router(), Profile::compatible()] {
            let found = reached(&upstream, &request);
            assert_eq!(found, Err(TargetError::MediaType), "{media_type:?}");
        }
    }
}

#[test]
fn policies_have_the_names_of_their_suffixes() {
    for policy in [ProviderPolicy::Fastest, ProviderPolicy::Cheapest, ProviderPolicy::Preferred] {
        let body = format!(r#"{{"model":"m:{}"}}"#, policy.as_str());
        let (router, request) = (Profile::router(), post(CHAT, &body));
        let target = router.target(&request).unwrap();
        assert_eq!(target.provider, Provider::Chosen(policy));
    }
}

#[test]
fn a_body_that_some_read_as_json_is_not_a_picture() {
    let router = Profile::router();
    let json = r#" {"model":"org/other"}"#;
    // As Python's `json.loads` tells them apart, with a mark and without.
    let wide = |mark: bool, width: usize, big: bool| {
        let text = if mark { format!("\u{feff}{json}") } else { json.to_owned() };
        let mut bytes = Vec::new();
        for character in text.chars() {
            let (big_end, little_end) =
                (u32::from(character).to_be_bytes(), u32::from(character).to_le_bytes());
            bytes.extend(if big { &big_end[4 - width..] } else { &little_end[..width] });
        }
        bytes
    };
    for (mark, width, big) in [
        (false, 2, false),
        (false, 2, true),
        (true, 2, false),
        (true, 2, true),
        (false, 4, false),
        (false, 4, true),
        (true, 4, false),
        (true, 4, true),
    ] {
        for path in ["/models/org/name", "/models/org/name/v1/chat/completions", "/fal-ai/flux"] {
            let request = request(Method::POST, path, Payload::buffered(wide(mark, width, big)));
            let found = reached(&router, &request);
            assert!(
                matches!(found, Err(TargetError::Body(_))),
                "{mark} {width} {big} {path}: {found:?}"
            );
        }
    }
}

#[test]
fn a_chat_below_a_model_must_be_json() {
    let router = Profile::router();
    let path = "/hf-inference/models/org/name/v1/chat/completions";
    for (media_type, body) in [
        ("application/json", "// {\n{\"model\":\"org/other\"}"),
        ("application/json", "/**/{\"model\":\"org/other\"}"),
        ("application/x-www-form-urlencoded", "model=org%2Fother"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\ncontent-disposition: form-data; name=model\r\n\r\norg/other\r\n--x--",
        ),
    ] {
        let mut request = post(path, body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let found = reached(&router, &request);
        assert!(found.is_err(), "{body}: {found:?}");
    }
}

#[test]
fn an_added_route_below_a_provider_stays_the_providers() {
    let path = "/novita/v3/openai/chat/completions";
    let router = Profile::router()
        .route(path, BodyForm::Chat)
        .route("/v1/pooling", BodyForm::Reads)
        .route("/pooling", BodyForm::Reads);
    let rows = [
        (path, r#"{"model":"org/name"}"#, Ok("org/name:novita")),
        (path, r#"{"model":"org/name:novita"}"#, Ok("org/name:novita")),
        (path, r#"{"model":"org/name:groq"}"#, Err(TargetError::Conflict)),
        (path, "{}", Err(TargetError::Missing)),
        ("/v1/pooling", r#"{"model":"org/name:groq"}"#, Ok("org/name:groq")),
        ("/pooling", r#"{"model":"org/name"}"#, Ok("org/name:fastest")),
    ];
    check(&router, &rows);
    // Not open to those who may use the model of whichever provider the router picks.
    let rules = ModelRules::new().allow(ModelRule::new(["org/name"]).any_provider());
    let request = post(path, r#"{"model":"org/name"}"#);
    assert!(!rules.allows(&router.target(&request).unwrap(), None));
}
