//! Violations of a schema and their cost.

mod alternatives;
mod bounds;
mod holds;
#[path = "../support/violations.rs"]
mod violations;

use serde_json::{Value, json};
use tower_inference::{payload::Document, rejection::Violation, schema::Schema};

use self::violations::chat;

fn explain(schema: &Value, body: &Value) -> Vec<Violation> {
    explain_text(schema, &body.to_string())
}

fn explain_text(schema: &Value, body: &str) -> Vec<Violation> {
    let document = Document::parse(body.to_owned()).unwrap();
    Schema::new(schema).unwrap().violations(&document)
}

fn chat_with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body[member] = value;
    body
}

/// Pointer and detail of each violation, a line each.
fn lines(schema: &Value, body: &Value) -> String {
    let lines = explain(schema, body).into_iter().map(|v| format!("{}: {}", v.pointer, v.detail));
    lines.collect::<Vec<_>>().join("\n")
}

/// Keyword and detail of the one violation of a schema at the root.
fn one(schema: &Value, body: &Value) -> (String, String) {
    let violations = explain(schema, body);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].pointer, "");
    (violations[0].keyword.to_string(), violations[0].detail.clone())
}

#[test]
fn valid_body_has_no_violations() {
    assert_eq!(explain(&chat(), &chat_with("temperature", json!(1))), []);
}

#[test]
fn violations_are_in_document_order() {
    let body = r#"{
        "temperature": 3,
        "messages": [{"role": "robot", "content": "hi"}, {"content": "hi"}, 5],
        "model": ""
    }"#;
    let reported: Vec<_> = explain_text(&chat(), body)
        .into_iter()
        .map(|v| (v.pointer, v.keyword.into_owned(), v.detail))
        .collect();
    let expected = [
        ("/temperature", "maximum", "must be at most 2"),
        ("/messages/0/role", "enum", "must be one of: system, user, assistant"),
        ("/messages/1", "required", "role is required"),
        ("/messages/2", "type", "must be an object"),
        ("/model", "minLength", "must not be empty"),
    ];
    let expected = expected.map(|(at, keyword, detail)| (at.into(), keyword.into(), detail.into()));
    assert_eq!(reported, expected);
}

#[test]
fn each_keyword_has_its_message() {
    for (schema, body, detail) in [
        (json!({"type": "string"}), json!(1), "must be a string"),
        (
            json!({"type": ["null", "array", "integer"]}),
            json!("x"),
            "must be an integer, an array or null",
        ),
        (json!({"type": ["number", "integer"]}), json!("x"), "must be a number"),
        (json!({"type": "boolean"}), json!("x"), "must be a boolean"),
        (json!({"const": "a"}), json!("b"), "must be a"),
        (json!({"const": 1.5}), json!("b"), "must be 1.5"),
        (json!({"const": {"a": 1}}), json!("b"), "must be a specific object"),
        (
            json!({"enum": ["a", 2, null, [1]]}),
            json!("b"),
            "must be one of: a, 2, null, a specific array",
        ),
        (json!({"maximum": 2}), json!(3), "must be at most 2"),
        (json!({"minimum": 2}), json!(1), "must be at least 2"),
        (json!({"exclusiveMaximum": 2}), json!(2), "must be less than 2"),
        (json!({"exclusiveMinimum": 2}), json!(2), "must be more than 2"),
        (json!({"multipleOf": 2}), json!(3), "must be a multiple of 2"),
        (json!({"maxLength": 1}), json!("xx"), "must not be longer than 1 character"),
        (json!({"minLength": 3}), json!("xx"), "must not be shorter than 3 characters"),
        (json!({"maxItems": 2}), json!([1, 2, 3]), "must not have more than 2 elements"),
        (json!({"minItems": 2}), json!([1]), "must have at least 2 elements"),
        (json!({"minItems": 1}), json!([]), "must not be empty"),
        (json!({"maxProperties": 1}), json!({"a": 1, "b": 2}), "must not have more than 1 member"),
        (json!({"minProperties": 2}), json!({"a": 1}), "must have at least 2 members"),
        (json!({"minProperties": 1}), json!({}), "must not be empty"),
        (json!({"uniqueItems": true}), json!([1, 2, 1]), "must not contain the same element twice"),
        (json!({"pattern": "^a+$"}), json!("b"), "must match the pattern ^a+$"),
        (
            json!({"contains": {"const": 1}}),
            json!([2]),
            "must contain the required elements and not more",
        ),
        (
            json!({"contains": {"const": 1}, "maxContains": 1}),
            json!([1, 1]),
            "must contain the required elements and not more",
        ),
        (json!({"not": {"type": "string"}}), json!("b"), "must not match the excluded schema"),
        (json!({"unevaluatedItems": false}), json!([1]), "has unknown elements"),
        (json!({"prefixItems": [true], "items": false}), json!([1, 2]), "is not allowed here"),
        (json!(false), json!(1), "is not allowed here"),
        (
            json!({"oneOf": [true, true]}),
            json!(1),
            "must match one of the alternatives and matches several",
        ),
        (json!({"required": ["a"]}), json!({}), "a is required"),
        (json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1}), "b is required"),
    ] {
        let violations = explain(&schema, &body);
        assert_eq!(violations.len(), 1, "{schema}: {violations:?}");
        assert_eq!(violations[0].detail, detail, "{schema}");
    }
}

#[test]
fn keywords_are_those_of_the_schema() {
    assert_eq!(one(&json!({"maxLength": 1}), &json!("xx")).0, "maxLength");
    assert_eq!(one(&json!({"required": ["a"]}), &json!({})).0, "required");
    assert_eq!(one(&json!({"oneOf": [true, true]}), &json!(1)).0, "oneOf");
    assert_eq!(one(&json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), &json!(1)).0, "type");
}

#[test]
fn each_unknown_member_has_a_violation() {
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let unevaluated = json!({"properties": {"a": true}, "unevaluatedProperties": false});
    let alone = json!({"additionalProperties": false, "patternProperties": {"^a$": true}});
    for schema in [closed, unevaluated, alone] {
        let reported = lines(&schema, &json!({"a": 1, "m~n": 1, "x/y": 2}));
        assert_eq!(reported, "/m~0n: is unknown here\n/x~1y: is unknown here", "{schema}");
    }
}

#[test]
fn each_member_of_an_empty_object_has_a_violation() {
    for none in [json!({"additionalProperties": false}), json!({"propertyNames": false})] {
        let schema = json!({"properties": {"a": none.clone()}});
        let reported = lines(&schema, &json!({"a": {"x": 1, "y": 2}}));
        assert_eq!(reported, "/a/x: is unknown here\n/a/y: is unknown here", "{none}");
    }
    // A member that is called as the keyword is.
    let schema = json!({"properties": {"additionalProperties": false, "propertyNames": false}});
    let reported =
        lines(&schema, &json!({"additionalProperties": {"a": 1}, "propertyNames": {"a": 1}}));
    let expected =
        "/additionalProperties: is not allowed here\n/propertyNames: is not allowed here";
    assert_eq!(reported, expected);
}

#[test]
fn invalid_names_have_violations() {
    let schema = json!({"propertyNames": {"maxLength": 3}});
    let reported = explain(&schema, &json!({"abc": 1, "a/bcd": 1, "\u{1}\"xyz": 1}));
    let reported: Vec<_> =
        reported.iter().map(|v| (&*v.pointer, &*v.keyword, &*v.detail)).collect();
    let detail = "its name must not be longer than 3 characters";
    let expected = [("/\u{1}\"xyz", "propertyNames", detail), ("/a~1bcd", "propertyNames", detail)];
    assert_eq!(reported, expected);
}

#[test]
fn member_after_many_wrong_ones_is_not_reported_missing() {
    let name = |i| format!("member-{i}");
    let mut properties: serde_json::Map<_, _> =
        (0..1_000).map(|i| (name(i), json!({"type": "string"}))).collect();
    properties.insert("model".to_owned(), json!({"type": "string"}));
    let schema = json!({
        "properties": properties, "required": ["model"], "additionalProperties": false,
    });
    let members: Vec<_> = (0..1_000).map(|i| format!("\"{}\": 5", name(i))).collect();
    let body = format!("{{{}, \"model\": \"m\"}}", members.join(","));
    let reported = explain_text(&schema, &body);
    assert_eq!(reported.len(), 16);
    assert!(reported.iter().all(|v| v.keyword == "type"), "{reported:?}");
}

#[test]
fn pointer_leads_to_the_value() {
    let schema = json!({"additionalProperties": {"items": {"type": "string"}}});
    let reported = explain(&schema, &json!({"a/b~c": ["", 1]}));
    assert_eq!(reported[0].pointer, "/a~1b~0c/1");
    // Names are what they say, however they are written.
    let reported = explain_text(&schema, r#"{"\u0061\u002f": [1]}"#);
    assert_eq!(reported[0].pointer, "/a~1/0");
}

#[test]
fn violations_are_not_repeated() {
    let schema = json!({"allOf": [{"type": "string"}, {"type": "string"}, {"$ref": "#/allOf/0"}]});
    assert_eq!(explain(&schema, &json!(1)).len(), 1);
}

#[test]
fn at_most_sixteen_violations_and_a_note_of_more() {
    let schema = json!({"items": {"type": "string"}});
    let more = "; more violations are not shown";
    let reported = explain(&schema, &json!(vec![0; 16]));
    assert_eq!(reported.len(), 16);
    assert!(reported.iter().all(|v| v.detail == "must be a string"));
    for count in [17, 100, 1_000, 100_000] {
        let reported = explain(&schema, &json!(vec![0; count]));
        assert_eq!(reported.len(), 16);
        assert!(reported[..15].iter().all(|v| v.detail == "must be a string"));
        assert_eq!(reported[15].detail, format!("must be a string{more}"));
        assert_eq!(reported[15].pointer, "/15");
    }
}

#[test]
fn schema_texts_are_shortened() {
    let long = "x".repeat(1_000);
    let many: Vec<_> = (0..1_000).map(|i| format!("option-{i}")).collect();
    for schema in [
        json!({"const": long}),
        json!({"enum": [long, long.clone() + "y"]}),
        json!({"enum": many}),
        json!({"pattern": long}),
        json!({"required": [long]}),
        json!({"anyOf": many.iter().map(|name| json!({"required": [name]})).collect::<Vec<_>>()}),
    ] {
        for body in [json!("b"), json!({})] {
            for violation in explain(&schema, &body) {
                assert!(violation.detail.len() < 1_200, "{}", violation.detail);
                assert!(violation.detail.contains('…'), "{}", violation.detail);
            }
        }
    }
}

#[test]
fn long_pointer_leads_to_a_parent() {
    let schema = json!({"additionalProperties": {
        "propertyNames": {"maxLength": 4_000},
        "additionalProperties": {"type": "string"},
    }});
    for length in [250, 255, 256, 1_000, 2_000, 5_000, 100_000] {
        let name = "é".repeat(length / 2);
        let reported = explain(&schema, &json!({"deep": {name: 5}}));
        assert!(!reported.is_empty());
        for violation in reported {
            if violation.pointer.len() > 5 {
                assert!(length < 255 && violation.pointer.len() <= 256);
                assert_eq!(violation.detail, "must be a string");
            } else {
                assert_eq!(violation.pointer, "/deep");
                assert_eq!(violation.detail, "a nested value must be a string");
            }
        }
    }
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let reported = explain(&closed, &json!({"é".repeat(100_000): 5}));
    assert_eq!(reported[0].pointer, "");
    assert_eq!(reported[0].detail, "a nested value is unknown here");
}
