//! OpenAPI's `nullable` and other keywords that JSON Schema lacks.

use serde_json::{Value, json};
use tower_inference::schema::{Draft, Schema};

use crate::{DRAFTS, accepted_in, accepts};

/// Asserts that `schema` accepts a null when it is nullable, and all else as it does without.
fn allows_null(draft: Draft, schema: Value, good: &str, bad: &str) {
    let root = |schema: &Value| {
        let root = json!({
            "properties": {"a": schema},
            "definitions": {"text": {"type": "string", "maxLength": 3}},
        });
        Schema::builder().draft(draft).build(&root).unwrap()
    };
    let says = |schema: &Schema, value: &str| accepts(schema, &format!(r#"{{"a": {value}}}"#));
    let mut nullable = schema.clone();
    nullable["nullable"] = true.into();
    let (plain, nullable) = (root(&schema), root(&nullable));
    assert!(!says(&plain, "null") && says(&nullable, "null"), "{draft:?} {schema}");
    for (document, verdict) in [(good, true), (bad, false)] {
        assert_eq!(says(&plain, document), verdict, "{draft:?} {schema}");
        assert_eq!(says(&nullable, document), verdict, "{draft:?} {schema}");
    }
}

#[test]
fn nullable_accepts_null_next_to_every_keyword() {
    for draft in DRAFTS {
        allows_null(draft, json!({"type": "string"}), r#""x""#, "1");
        allows_null(draft, json!({"type": "string", "maxLength": 1}), r#""x""#, r#""xy""#);
        allows_null(draft, json!({"type": ["string", "number"]}), "1", "true");
        allows_null(draft, json!({"enum": ["x", 1]}), "1", "2");
        allows_null(draft, json!({"type": "string", "enum": ["x"]}), r#""x""#, r#""y""#);
        allows_null(draft, json!({"$ref": "#/definitions/text"}), r#""x""#, r#""long""#);
        allows_null(
            draft,
            json!({"allOf": [{"$ref": "#/definitions/text"}]}),
            r#""x""#,
            r#""long""#,
        );
        allows_null(
            draft,
            json!({"allOf": [{"type": "number"}], "anyOf": [{"minimum": 1}]}),
            "1",
            "0",
        );
        allows_null(draft, json!({"anyOf": [{"type": "string"}, {"type": "number"}]}), "1", "true");
        allows_null(draft, json!({"oneOf": [{"type": "string"}, {"type": "number"}]}), "1", "true");
        allows_null(draft, json!({"not": {"type": ["null", "string"]}}), "1", r#""x""#);
        allows_null(draft, json!({"type": "object", "required": ["b"]}), r#"{"b": 1}"#, "{}");
        if draft != Draft::Draft4 {
            allows_null(draft, json!({"const": 1}), "1", "2");
            allows_null(draft, json!({"const": 1, "enum": [1, 2]}), "1", "2");
        }
        if !matches!(draft, Draft::Draft4 | Draft::Draft6) {
            let schema = json!({"if": true, "then": {"type": "string"}});
            allows_null(draft, schema, r#""x""#, "1");
        }
    }
}

#[test]
fn nullable_adds_no_second_match_to_one_of() {
    for draft in DRAFTS {
        let schema =
            json!({"oneOf": [{"type": ["null", "string"]}, {"type": "number"}], "nullable": true});
        assert_eq!(accepted_in(draft, &schema, ["null", "1", "true"]), ["null", "1"], "{draft:?}");
    }
}

#[test]
fn siblings_of_a_reference_apply_from_2019_09() {
    for draft in DRAFTS {
        let old = matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
        for nullable in [false, true] {
            let schema = json!({
                "$ref": "#/definitions/text", "maxLength": 1, "nullable": nullable,
                "definitions": {"text": {"type": "string"}},
            });
            let expected = [("null", nullable), (r#""xy""#, old), ("1", false)];
            let expected = expected.iter().filter(|(_, is)| *is).map(|(document, _)| *document);
            let accepted = accepted_in(draft, &schema, ["null", r#""xy""#, "1"]);
            assert_eq!(accepted, expected.collect::<Vec<_>>(), "{draft:?} {nullable}");
        }
    }
}

#[test]
fn nullable_applies_in_every_subschema() {
    let text = json!({"type": "string", "nullable": true});
    for draft in DRAFTS {
        let mut places = vec![
            (json!({"items": text}), "[null]"),
            (json!({"additionalProperties": text}), r#"{"a": null}"#),
            (json!({"patternProperties": {"a": text}}), r#"{"a": null}"#),
            (json!({"allOf": [{"anyOf": [{"oneOf": [text]}]}]}), "null"),
            (json!({"dependencies": {"a": {"properties": {"a": text}}}}), r#"{"a": null}"#),
            (
                json!({"components": {"schemas": {"A": text}}, "$ref": "#/components/schemas/A"}),
                "null",
            ),
            (
                json!({"definitions": {"A": {"items": text}}, "items": {"$ref": "#/definitions/A"}}),
                "[[null]]",
            ),
        ];
        if draft == Draft::Draft202012 {
            places.push((json!({"prefixItems": [text]}), "[null]"));
            places.push((json!({"unevaluatedItems": text}), "[null]"));
            // Gone since 2020-12, but for those who ask for it.
            places.retain(|(schema, _)| schema.get("dependencies").is_none());
        } else {
            places.push((json!({"items": [text], "additionalItems": text}), "[null, null]"));
        }
        for (schema, document) in places {
            assert_eq!(accepted_in(draft, &schema, [document]), [document], "{draft:?} {schema}");
        }
    }
}

#[test]
fn additional_document_can_be_nullable() {
    let openapi = json!({
        "openapi": "3.0.3",
        "components": {"schemas": {"A": {"properties": {"b": {"type": "string", "nullable": true}}}}},
    });
    let builder = Schema::builder().draft(Draft::Draft4).document("urn:api", openapi);
    let schema = builder.build(&json!({"$ref": "urn:api#/components/schemas/A"})).unwrap();
    assert!(accepts(&schema, r#"{"b": null}"#) && !accepts(&schema, r#"{"b": 1}"#));
}

#[test]
fn data_and_names_are_not_converted() {
    let looks = json!({"type": "string", "nullable": true, "exclusiveMinimum": true});
    for draft in DRAFTS {
        // A member of the name "nullable" is a member.
        let schema =
            json!({"properties": {"nullable": {"type": "string"}, "a": {"type": "string"}}});
        let documents = [r#"{"nullable": null}"#, r#"{"a": null}"#, r#"{"nullable": "x"}"#];
        assert_eq!(accepted_in(draft, &schema, documents), [documents[2]], "{draft:?}");
        // What is compared is compared as it was written.
        let mut schemas = vec![json!({"enum": [looks, 1]})];
        if draft != Draft::Draft4 {
            schemas.push(json!({"const": looks}));
            schemas.push(json!({"enum": [{"properties": {"a": looks}}, looks]}));
        }
        for schema in schemas {
            let schema = Schema::builder().draft(draft).build(&schema).unwrap();
            assert!(accepts(&schema, &looks.to_string()), "{draft:?}");
        }
        // What nobody knows is nothing.
        let schema = json!({"x-note": looks, "default": looks, "example": looks, "type": "number"});
        assert_eq!(accepted_in(draft, &schema, ["null", "1"]), ["1"], "{draft:?}");
        // Not true is not nullable.
        for not in [json!(false), json!("true"), json!(1), json!(null)] {
            let schema = json!({"type": "string", "nullable": not});
            assert!(accepted_in(draft, &schema, ["null"]).is_empty(), "{draft:?} {not}");
        }
    }
}

#[test]
fn unknown_keyword_has_no_subschemas() {
    // `if` came with draft 7: in draft 6, what stands there is data.
    let schema = json!({"if": {"$ref": "#/nowhere", "nullable": true}, "type": "number"});
    assert_eq!(accepted_in(Draft::Draft6, &schema, ["1", "null"]), ["1"]);
}

#[test]
fn boolean_exclusive_bound_works_in_every_draft() {
    for draft in DRAFTS {
        let schema = json!({"minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false});
        assert_eq!(
            accepted_in(draft, &schema, ["0", "0.1", "9", "9.1"]),
            ["0.1", "9"],
            "{draft:?}"
        );
        let mirrored = json!({"minimum": 0, "exclusiveMinimum": false, "maximum": 9, "exclusiveMaximum": true});
        assert_eq!(accepted_in(draft, &mirrored, ["0", "8.9", "9"]), ["0", "8.9"], "{draft:?}");
    }
    for draft in DRAFTS.into_iter().skip(1) {
        let schema = json!({"exclusiveMinimum": true});
        assert_eq!(accepted_in(draft, &schema, ["-1e400"]), ["-1e400"], "{draft:?}");
    }
}

#[test]
fn discriminator_has_no_effect() {
    for draft in DRAFTS {
        let schema = json!({
            "oneOf": [{"properties": {"kind": {"enum": ["a"]}}}, {"properties": {"kind": {"enum": ["b"]}}}],
            "discriminator": {"propertyName": "kind", "mapping": {"c": "#/nowhere"}},
        });
        let documents = [r#"{"kind": "a"}"#, r#"{"kind": "c"}"#];
        assert_eq!(accepted_in(draft, &schema, documents), [documents[0]], "{draft:?}");
    }
}
