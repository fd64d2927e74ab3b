//! Compiling schemas and the errors of invalid ones.

use std::{io::ErrorKind, net::TcpListener};

use serde_json::{Value, json};
use tower_inference::schema::{Draft, Schema, SchemaBuilder, SchemaError, SchemaFault};

use crate::{DRAFTS, accepted, accepted_in, accepts};

fn rejected(schema: &Value) -> SchemaError {
    Schema::new(schema).unwrap_err()
}

fn unresolved(reference: &str) -> SchemaFault {
    SchemaFault::Unresolved(reference.to_owned())
}

// === drafts ===

const NAMES: [(&str, Draft); 10] = [
    ("http://json-schema.org/draft-04/schema#", Draft::Draft4),
    ("http://json-schema.org/draft-04/schema", Draft::Draft4),
    ("http://json-schema.org/draft-06/schema#", Draft::Draft6),
    ("https://json-schema.org/draft-06/schema", Draft::Draft6),
    ("http://json-schema.org/draft-07/schema#", Draft::Draft7),
    ("https://json-schema.org/draft-07/schema", Draft::Draft7),
    ("https://json-schema.org/draft/2019-09/schema", Draft::Draft201909),
    ("https://json-schema.org/draft/2019-09/schema#", Draft::Draft201909),
    ("https://json-schema.org/draft/2020-12/schema", Draft::Draft202012),
    ("https://json-schema.org/draft/2020-12/schema#", Draft::Draft202012),
];

/// A schema that tells the drafts apart, each keyword being known from one of them on.
fn telling() -> Value {
    json!({
        "const": {"since": 6},
        "if": {}, "then": {"required": ["draft 7"]},
        "dependentRequired": {"since": ["2019-09"]},
        "properties": {"list": {"prefixItems": [{"type": "string"}]}},
    })
}

/// Which of the keywords in [`telling`] hold.
fn holding(schema: &Value, draft: Option<Draft>) -> Vec<usize> {
    let only = |keyword: &str| {
        let mut schema = schema.clone();
        let others = ["const", "if", "then", "dependentRequired", "properties"];
        for other in others.into_iter().filter(|other| !keyword.starts_with(other)) {
            if !(keyword == "if" && other == "then") {
                schema.as_object_mut().unwrap().remove(other);
            }
        }
        draft.into_iter().fold(Schema::builder(), SchemaBuilder::draft).build(&schema).unwrap()
    };
    let broken = [
        ("const", "1"),
        ("if", "{}"),
        ("dependentRequired", r#"{"since": 1}"#),
        ("properties", r#"{"list": [1]}"#),
    ];
    let holds = |(index, (keyword, document)): (usize, &(&str, &str))| {
        (!accepts(&only(keyword), document)).then_some(index)
    };
    broken.iter().enumerate().filter_map(holds).collect()
}

fn known(draft: Draft) -> Vec<usize> {
    (0..DRAFTS.iter().position(|other| *other == draft).unwrap()).collect()
}

#[test]
fn draft_is_named_or_set_or_2020_12() {
    for (name, draft) in NAMES {
        let mut schema = telling();
        schema["$schema"] = name.into();
        for set in DRAFTS {
            assert_eq!(holding(&schema, Some(set)), known(draft), "{name} {set:?}");
        }
    }
    for draft in DRAFTS {
        assert_eq!(holding(&telling(), Some(draft)), known(draft), "{draft:?}");
    }
    assert_eq!(holding(&telling(), None), known(Draft::Draft202012));
    assert_eq!(Draft::default(), Draft::Draft202012);
}

#[test]
fn unknown_draft_is_rejected_at_any_position() {
    let unknown = |schema: &Value, document: Option<&str>, pointer: &str| {
        let mut builder = Schema::builder();
        if document.is_some() {
            builder = builder.document("https://a.example/b", json!({"$schema": "urn:other"}));
        }
        let error = builder.build(schema).unwrap_err();
        assert_eq!(error.fault, SchemaFault::UnknownDraft("urn:other".to_owned()));
        assert_eq!((error.document.as_deref(), &*error.pointer), (document, pointer));
    };
    unknown(&json!({"$schema": "urn:other"}), None, "");
    let nested = json!({"properties": {"a/b": {"$id": "urn:x", "$schema": "urn:other"}}});
    unknown(&nested, None, "/properties/a~1b");
    unknown(&json!({}), Some("https://a.example/b"), "");
    // Data say nothing.
    assert!(Schema::new(&json!({"const": {"$schema": "urn:other"}})).is_ok());
}

// === references ===

#[test]
fn api_gateway_models_refer_to_each_other() {
    let base = "https://apigateway.amazonaws.com/restapis/a1b2c3/models";
    let schema = Schema::builder()
        .draft(Draft::Draft4)
        .document(
            format!("{base}/Message"),
            json!({"properties": {"role": {"$ref": format!("{base}/Role")}}}),
        )
        .document(format!("{base}/Role"), json!({"enum": ["user"]}))
        .build(&json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "array", "items": {"$ref": format!("{base}/Message")},
        }))
        .unwrap();
    assert!(accepts(&schema, r#"[{"role": "user"}]"#));
    assert!(!accepts(&schema, r#"[{"role": "root"}]"#));
}

#[test]
fn relative_identifiers_and_references_resolve() {
    let common = json!({
        "$schema": "http://json-schema.org/draft-06/schema#",
        "definitions": {"Score": {"type": "number"}, "Scores": {"items": {"$ref": "#/definitions/Score"}}},
    });
    let task = |id: &str| {
        json!({
            "$schema": "http://json-schema.org/draft-06/schema#",
            "$id": id,
            "properties": {
                "scores": {"$ref": "/inference/schemas/common-definitions.json#/definitions/Scores"},
            },
        })
    };
    for id in [
        "/inference/schemas/chat-completion/input.json",
        "https://huggingface.co/inference/schemas/chat-completion/input.json",
    ] {
        for uri in ["/inference/schemas/common-definitions.json", "../common-definitions.json"] {
            let builder = Schema::builder().document(uri, common.clone());
            let schema = builder.build(&task(id)).unwrap();
            assert!(accepts(&schema, r#"{"scores": [1]}"#), "{id} {uri}");
            assert!(!accepts(&schema, r#"{"scores": ["1"]}"#), "{id} {uri}");
        }
    }
}

#[test]
fn document_is_found_by_its_own_identifier() {
    let given =
        json!({"$id": "https://b.example/real", "$defs": {"x": {"$anchor": "x", "type": "null"}}});
    let builder = Schema::builder().document("https://a.example/file", given);
    for reference in [
        "https://a.example/file#/$defs/x",
        "https://b.example/real#/$defs/x",
        "https://b.example/real#x",
    ] {
        let schema = builder.build(&json!({"$ref": reference})).unwrap();
        assert!(accepts(&schema, "null") && !accepts(&schema, "1"), "{reference}");
    }
}

#[test]
fn nothing_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let uri = format!("http://{}/schema.json", listener.local_addr().unwrap());
    for keyword in ["$ref", "$dynamicRef"] {
        let schema = json!({"properties": {"a": {keyword: format!("{uri}#/x")}}});
        let error = rejected(&schema);
        assert_eq!(error.fault, unresolved(&format!("{uri}#/x")));
        assert_eq!((error.document, error.pointer), (None, format!("/properties/a/{keyword}")));
    }
    assert_eq!(rejected(&json!({"$schema": uri})).fault, SchemaFault::UnknownDraft(uri.clone()));
    let given = Schema::builder().document("urn:a", json!({"items": {"$ref": uri}}));
    let error = given.build(&json!({"$ref": "urn:a"})).unwrap_err();
    assert_eq!((error.document.as_deref(), &*error.pointer), (Some("urn:a"), "/items/$ref"));
    let error = rejected(&json!({"$ref": "file:///etc/passwd"}));
    assert_eq!(error.fault, unresolved("file:///etc/passwd"));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn unresolved_reference_has_its_position() {
    for reference in ["#/$defs/nothing", "#nothing", "other.json"] {
        let error = rejected(&json!({"items": {"$ref": reference}}));
        assert_eq!((error.fault, &*error.pointer), (unresolved(reference), "/items/$ref"));
    }
}

#[test]
fn any_identifier_compiles_or_is_rejected() {
    for id in [
        "#",
        "a#",
        "http://a.example/#",
        "http://a.example/#x",
        "urn:x",
        "%",
        "::",
        "//",
        "?",
        "\u{e9}",
    ] {
        for draft in DRAFTS {
            let key = if draft == Draft::Draft4 { "id" } else { "$id" };
            let schema = json!({key: id, "items": {"$ref": "#"}});
            if let Ok(schema) = Schema::builder().draft(draft).build(&schema) {
                assert!(accepts(&schema, "[[]]"), "{id}");
            }
            let given = Schema::builder().draft(draft).document(id, schema);
            drop(given.build(&json!({"$ref": "#"})));
        }
    }
}

// === patterns ===

#[test]
fn patterns_beyond_linear_time_or_memory_are_rejected() {
    for pattern in ["(?=a)b", "(?!a)b", "(?<=a)b", "(a)\\1", "(?:a{1000}){1000}", "(", "[a"] {
        for (schema, pointer) in [
            (json!({"items": {"pattern": pattern}}), "/items/pattern"),
            (json!({"items": {"patternProperties": {pattern: {}}}}), "/items/patternProperties"),
        ] {
            let error = rejected(&schema);
            assert_eq!(error.fault, SchemaFault::Pattern(pattern.to_owned()));
            assert!(error.pointer.starts_with(pointer), "{error}");
        }
    }
}

#[test]
fn patterns_follow_ecma_262() {
    let schema = json!({"pattern": "^\\d+$"});
    assert_eq!(
        accepted(&schema, [r#""12""#, r#""\u0661""#, r#""1\u0030""#]),
        [r#""12""#, r#""1\u0030""#]
    );
    // A pattern that a backtracking matcher would not finish.
    let schema = Schema::new(&json!({"pattern": "^(a+)+$"})).unwrap();
    assert!(!accepts(&schema, &format!("\"{}!\"", "a".repeat(100_000))));
}

// === what is legal ===

#[test]
fn schema_error_has_its_pointer() {
    let place = |schema: &Value, draft| {
        let error = Schema::builder().draft(draft).build(schema).unwrap_err();
        assert!(matches!(error.fault, SchemaFault::Illegal(_)), "{error}");
        error.pointer
    };
    assert_eq!(
        place(&json!({"properties": {"a": {"type": "text"}}}), Draft::Draft7),
        "/properties/a/type"
    );
    assert_eq!(place(&json!({"required": true}), Draft::Draft4), "/required");
    assert_eq!(
        place(&json!({"exclusiveMinimum": 1, "minimum": 1}), Draft::Draft4),
        "/exclusiveMinimum"
    );
    assert_eq!(place(&json!({"items": {"minLength": -1}}), Draft::Draft202012), "/items/minLength");
    assert_eq!(place(&json!([]), Draft::Draft202012), "");
}

#[test]
fn schema_error_in_another_document_has_its_position() {
    let place = |document: Value, schema: Value| {
        let error = Schema::builder().document("urn:a", document).build(&schema).unwrap_err();
        assert!(matches!(error.fault, SchemaFault::Illegal(_)), "{error}");
        (error.document.unwrap(), error.pointer)
    };
    assert_eq!(
        place(json!({"items": {"type": 1}}), json!({})),
        ("urn:a".into(), "/items/type".into())
    );
    let openapi = json!({"openapi": "3.0.3", "components": {"schemas": {"A": {"type": 1}}}});
    let schema = json!({"$ref": "urn:a#/components/schemas/A"});
    assert_eq!(place(openapi, schema), ("urn:a".into(), "/components/schemas/A/type".into()));
}

#[test]
fn schema_text_is_parsed_strictly() {
    assert!(accepts(&Schema::parse(r#"{"type": "null"}"#).unwrap(), "null"));
    for text in [r#"{"type": "null", "type": "string"}"#, "{", "{} {}", r#"{"maximum": 1e400}"#] {
        let error = Schema::parse(text).unwrap_err();
        assert!(matches!(error.fault, SchemaFault::Malformed(_)), "{text}");
    }
}

#[test]
fn errors_have_one_line() {
    let error = rejected(&json!({"items": {"$ref": "other.json"}}));
    let told = "unresolved reference other.json; nothing is fetched, at /items/$ref";
    assert_eq!(error.to_string(), told);
    let given = Schema::builder().document("urn:a", json!({"pattern": "(?=a)"}));
    let told = "the pattern is invalid, too large or not linear-time: (?=a), at /pattern, in urn:a";
    assert_eq!(given.build(&json!({"$ref": "urn:a"})).unwrap_err().to_string(), told);
}

// === formats ===

#[test]
fn formats_are_not_asserted_by_default() {
    for draft in DRAFTS {
        let schema = json!({"format": "email"});
        assert_eq!(accepted_in(draft, &schema, [r#""none""#]), [r#""none""#], "{draft:?}");
        let schema = Schema::builder().draft(draft).formats().build(&schema).unwrap();
        assert!(
            !accepts(&schema, r#""none""#) && accepts(&schema, r#""a@b.example""#),
            "{draft:?}"
        );
    }
}

#[test]
fn openapi_formats_bound_integers_and_check_base64() {
    let accepted = |schema: Value, documents: &[&'static str]| -> Vec<&str> {
        let mut kept = documents.to_vec();
        for draft in DRAFTS {
            let schema = Schema::builder().draft(draft).formats().build(&schema).unwrap();
            kept.retain(|document| accepts(&schema, document));
        }
        kept
    };
    let int32 = ["2147483647", "2147483648", "-2147483648", "-2147483649", "1e400", "\"x\""];
    assert_eq!(
        accepted(json!({"format": "int32"}), &int32),
        ["2147483647", "-2147483648", "\"x\""]
    );
    let int64 = ["9223372036854775807", "9223372036854775808", "-9223372036854779904", "1e30"];
    assert_eq!(accepted(json!({"format": "int64"}), &int64), ["9223372036854775807"]);
    let tighter = json!({"format": "int32", "minimum": 0, "maximum": 9});
    assert_eq!(accepted(tighter, &["-1", "0", "9", "10"]), ["0", "9"]);
    let looser = json!({"format": "int32", "minimum": -1e12, "maximum": 1e12});
    assert_eq!(accepted(looser, &["-2147483649", "0", "2147483648"]), ["0"]);
    let byte = [
        r#""""#,
        r#""YQ==""#,
        r#""YWI=""#,
        r#""YWJj""#,
        r#""YQ=""#,
        r#""Y-_=""#,
        r#""Y===""#,
        r#""=YQ=""#,
        "1",
    ];
    let valid = [r#""""#, r#""YQ==""#, r#""YWI=""#, r#""YWJj""#, "1"];
    assert_eq!(accepted(json!({"format": "byte"}), &byte), valid);
    for silent in ["float", "double", "binary", "password", "idn-email", "of-nobody"] {
        assert_eq!(accepted(json!({"format": silent}), &["\"x\"", "1e400"]).len(), 2, "{silent}");
    }
}

#[test]
fn schema_is_send_and_sync() {
    fn everywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    let schema = Schema::new(&json!(true)).unwrap();
    everywhere(&schema);
    assert_eq!(size_of_val(&schema), size_of::<usize>());
    assert!(accepts(&schema, "1"));
}
