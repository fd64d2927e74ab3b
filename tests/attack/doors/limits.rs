//! The limit on output tokens.

use http::Method;

use super::*;

#[tokio::test]
async fn no_route_generates_more_than_is_allowed() {
    let doors = Doors::open("limits", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        for Body { good, limit, .. } in row.form.generating() {
            let Some(limit) = limit else {
                // Passes as it is, until it asks for more.
                assert_eq!(doors.json(&path, &good.to_string()).await, StatusCode::OK, "{path}");
                assert_eq!(doors.seen.one(), good, "{path}");
                let unknown = good.get("inputs").is_none();
                for place in
                    ["/max_new_tokens", "/parameters/max_new_tokens", "/options/num_predict"]
                {
                    let within = with_limit(&good, place, MOST);
                    assert_eq!(doors.json(&path, &within.to_string()).await, StatusCode::OK);
                    assert_eq!(doors.seen.one(), within, "{path}");
                    let greedy = with_limit(&good, place, 99_999);
                    let status = doors.json(&path, &greedy.to_string()).await;
                    if unknown {
                        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {greedy}");
                        assert!(doors.seen.take().is_empty());
                    } else {
                        assert_eq!(doors.seen.one().pointer(place), Some(&json!(MOST)), "{path}");
                    }
                }
                continue;
            };
            // The honest caller.
            let honest = with_limit(&good, limit, 7);
            assert_eq!(doors.json(&path, &honest.to_string()).await, StatusCode::OK, "{path}");
            assert_eq!(doors.seen.one(), honest, "{path}");
            for greedy in [
                good.clone(),
                with_limit(&good, limit, Value::Null),
                with_limit(&good, limit, 99_999),
                with_limit(&good, limit, 1e300),
                with_limit(&good, limit, 100.5),
                // No limit, in llama.cpp.
                with_limit(&good, limit, -1),
            ] {
                let status = doors.json(&path, &greedy.to_string()).await;
                assert_eq!(status, StatusCode::OK, "{path} {greedy}");
                let arrived = doors.seen.one();
                assert_eq!(arrived.pointer(limit), Some(&json!(MOST)), "{path} {greedy}");
            }
            for wrong in [json!(-2), json!(0), json!("99999"), json!(true), json!([99_999])] {
                let wrong = with_limit(&good, limit, wrong).to_string();
                let status = doors.json(&path, &wrong).await;
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {wrong}");
                assert!(doors.seen.take().is_empty());
            }
        }
    }
}

/// A body of an unknown form is refused if it names a limit above the maximum anywhere.
#[tokio::test]
async fn no_depth_of_an_unknown_form_hides_a_limit() {
    let doors = Doors::open("depth", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Any | Form::Predict) {
            continue;
        }
        for greedy in [
            r#"{"foo":{"prompt":"once","max_tokens":9999}}"#,
            r#"{"foo":[[{"bar":{"max_new_tokens":9999}}]]}"#,
            r#"{"input":{"prompt":"once","max_tokens":9999}}"#,
            r#"{"data":[{"max_tokens":9999}]}"#,
        ] {
            let status = doors.json(&path, greedy).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {greedy}");
            assert!(doors.seen.take().is_empty(), "{path} {greedy}");
            let modest = greedy.replace("9999", "99");
            assert_eq!(doors.json(&path, &modest).await, StatusCode::OK, "{path} {modest}");
            assert_eq!(doors.seen.one().to_string().len(), modest.len(), "{path} {modest}");
        }
    }
}

#[tokio::test]
async fn a_route_that_generates_nothing_is_not_edited() {
    let doors = Doors::open("untouched", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Reads(_) | Form::Media | Form::Predict) {
            continue;
        }
        let mut body = json!({ "input": "a", "inputs": "a", "max_length": 50 });
        // At TEI's route a prompt is a completion of another server.
        if row.form != Form::Predict {
            body["prompt"] = json!("a");
        }
        assert_eq!(doors.json(&path, &body.to_string()).await, StatusCode::OK, "{path}");
        assert_eq!(doors.seen.one(), body, "{path}");
    }
}

#[tokio::test]
async fn no_other_spelling_of_a_request_passes_by_the_limit() {
    let doors = Doors::open("spellings", ["--max-tokens", "100"]).await;
    let greedy = r#"{"inputs":"a","parameters":{"max_new_tokens":99999}}"#;
    let cut = json!({ "inputs": "a", "parameters": { "max_new_tokens": MOST } });

    // The query, which Hugging Face's toolkit takes for parameters.
    for path in ["/", "/predict", "/models/org/m", "/generate", "/embed", "/v1/chat/completions"] {
        for query in ["max_new_tokens=99999", "a=b&max%5fnew_tokens=99999", "MAX_LENGTH=101"] {
            let status = doors.json(&format!("{path}?{query}"), r#"{"inputs":"a"}"#).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}?{query}");
        }
        let status = doors.json(&format!("{path}?max_new_tokens=5"), r#"{"inputs":"a"}"#).await;
        assert_eq!(status, StatusCode::OK);
    }
    let sound = doors.typed("/?max_new_tokens=99999", "audio/flac", vec![0xff; 9]);
    assert_eq!(doors.send(sound).await, StatusCode::BAD_REQUEST);
    assert_eq!(doors.seen.take().len(), 6);

    // Types: JSON is what looks like it.
    for media_type in [
        "",
        "text/json",
        "application/vnd.api+json",
        "image/png",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
    ] {
        for path in ["/", "/models/org/m"] {
            let request = doors.typed(path, media_type, greedy);
            assert_eq!(doors.send(request).await, StatusCode::OK, "{path} {media_type}");
            assert_eq!(doors.seen.one(), cut, "{path} {media_type}");
        }
        if !media_type.ends_with("+json") {
            let request = doors.typed("/generate", media_type, greedy);
            assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }
    for (media_type, body) in [
        ("application/x-www-form-urlencoded", &b"inputs=a&max_new_tokens=99999"[..]),
        ("text/plain", b"once"),
        ("audio/flac", b"once"),
        ("", b"once"),
        ("text/plain; charset=utf-16", b"\xff\xfeo\0n\0c\0e\0"),
    ] {
        let request = doors.typed("/", media_type, body);
        assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
    }
    let utf16: Vec<u8> = greedy.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xef\xbb\xbf", greedy.as_bytes()].concat();
    for body in [utf16, marked, br#"{"inputs":"a",}"#.to_vec(), br#"[{"inputs":"a"}"#.to_vec()] {
        for media_type in ["", "application/json", "image/png"] {
            let request = doors.typed("/", media_type, body.clone());
            assert_eq!(doors.send(request).await, StatusCode::BAD_REQUEST, "{media_type}");
        }
    }
    // A coding, and a type that is told twice.
    for path in ["/", "/generate", "/models/org/m"] {
        let mut request = post(path, &doors.token, greedy);
        request.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    let mut twice = post("/", &doors.token, greedy);
    twice.headers_mut().append(header::CONTENT_TYPE, "image/png".parse().unwrap());
    assert_eq!(doors.send(twice).await, StatusCode::OK);
    assert_eq!(doors.seen.one(), cut);

    // Bodies that some readers take for what they are not.
    for body in [
        r#"["a",{"max_new_tokens":99999}]"#,
        r#"{"inputs":"a","parameters":[null,null,99999]}"#,
        r#"{"inputs":"a","parameters":{},"Parameters":{"max_new_tokens":99999}}"#,
        r#"{"inputs":"a","parameters":{"max_new_tokens":5,"MAX_NEW_TOKENS":99999}}"#,
        r#"{"instances":[["a",{"max_new_tokens":99999}]]}"#,
        r#"[{"inputs":"a"}]"#,
        r#""once""#,
    ] {
        for path in ["/", "/generate", "/invocations", "/vertex", "/models/org/m"] {
            let status = doors.json(path, body).await;
            let unknown = path == "/generate" && body.contains("instances");
            let expected = if unknown { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            assert_eq!(status, expected, "{path} {body}");
        }
    }
    doors.seen.take();
    let twice = r#"{"inputs":"a","parameters":{"max_new_tokens":5,"max_new_tokens":99999}}"#;
    assert_eq!(doors.json("/", twice).await, StatusCode::BAD_REQUEST);
    let many = format!(r#"{{"instances":[{}"a"]}}"#, r#""a","#.repeat(128));
    assert_eq!(doors.json("/vertex", &many).await, StatusCode::UNPROCESSABLE_ENTITY);

    // Two forms at once, both names of one form, escapes, a stream, and what sets a minimum.
    for (path, body, pointers) in [
        (
            "/",
            r#"{"inputs":"a","messages":[],"prompt":"p"}"#,
            &["/max_tokens", "/parameters/max_new_tokens"][..],
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"max_tokens":99999,"max_completion_tokens":99999}"#,
            &["/max_tokens", "/max_completion_tokens"],
        ),
        (
            "/invocations",
            r#"{"inputs":"a","stream":true,"parameters":{"max\u005fnew_tokens":99999}}"#,
            &["/parameters/max_new_tokens"],
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"min_tokens":99999,"ignore_eos":true}"#,
            &["/max_tokens"],
        ),
        ("/models/org/embeddings", r#"{"inputs":"a"}"#, &["/parameters/max_new_tokens"]),
    ] {
        assert_eq!(doors.json(path, body).await, StatusCode::OK, "{path} {body}");
        let arrived = doors.seen.one();
        for pointer in pointers {
            assert_eq!(arrived.pointer(pointer), Some(&json!(MOST)), "{path} {arrived}");
        }
    }

    // Other methods, and other spellings of an open path.
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE] {
        for path in ["/", "/generate", "/models/org/m"] {
            let mut request = post(path, &doors.token, greedy);
            *request.method_mut() = method.clone();
            let status = send(doors.gateway.address, request).await.status();
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in [
        "/generate/",
        "//generate",
        "/generat%65",
        "/Generate",
        "/generate;x=1",
        "/./generate",
        "/v1/v1/chat/completions",
        "/models/org/m/",
        "/models/org/m/v1/responses",
        "/v1/chat/completions/generate",
    ] {
        assert_eq!(doors.json(path, greedy).await, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(doors.seen.take().is_empty());
}
