//! What an answer says of a body that breaks its schema, and what it costs.

use allocation_counter::measure;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_inference::{
    payload::{Bounds, Document},
    rejection::Violation,
    schema::Schema,
};

fn explain(schema: &Value, body: &Value) -> Vec<Violation> {
    explain_text(schema, &body.to_string())
}

fn explain_text(schema: &Value, body: &str) -> Vec<Violation> {
    let document = Document::parse(body.to_owned()).unwrap();
    Schema::new(schema).unwrap().violations(&document)
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

fn chat() -> Value {
    let part = |kind: &str, members: Value, required: Value| {
        let mut properties = members;
        properties["type"] = json!({"const": kind});
        json!({"type": "object", "properties": properties, "required": required})
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/message"}},
            "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
            "stop": {"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "maxItems": 4},
                {"type": "null"},
            ]},
            "tool_choice": {"anyOf": [
                {"type": "string", "enum": ["none", "auto", "required"]},
                {"type": "object", "required": ["type", "function"], "properties": {
                    "type": {"const": "function"},
                    "function": {"type": "object", "required": ["name"],
                        "properties": {"name": {"type": "string", "maxLength": 64}}},
                }},
            ]},
            "response_format": {"oneOf": [
                part("text", json!({}), json!(["type"])),
                part("json_object", json!({}), json!(["type"])),
                part("json_schema", json!({"json_schema": {"type": "object"}}),
                    json!(["type", "json_schema"])),
            ]},
        },
        "$defs": {"message": {
            "type": "object",
            "required": ["role"],
            "properties": {
                "role": {"enum": ["system", "user", "assistant"]},
                "content": {"anyOf": [
                    {"type": "string"},
                    {"type": "null"},
                    {"type": "array", "items": {"oneOf": [
                        part("text", json!({"text": {"type": "string"}}), json!(["type", "text"])),
                        part("image_url", json!({"image_url": {
                            "type": "object", "required": ["url"],
                            "properties": {
                                "url": {"type": "string"},
                                "detail": {"enum": ["auto", "low", "high"]},
                            },
                        }}), json!(["type", "image_url"])),
                    ]}},
                ]},
            },
        }},
    })
}

fn chat_with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body[member] = value;
    body
}

fn content(content: Value) -> Value {
    chat_with("messages", json!([{"role": "user", "content": content}]))
}

// === what is said ===

#[test]
fn a_body_that_is_in_order_has_no_violations() {
    assert_eq!(explain(&chat(), &chat_with("temperature", json!(1))), []);
}

#[test]
fn all_violations_are_told_in_the_order_of_the_document() {
    let body = r#"{
        "temperature": 3,
        "messages": [{"role": "robot", "content": "hi"}, {"content": "hi"}, 5],
        "model": ""
    }"#;
    let told: Vec<_> = explain_text(&chat(), body)
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
    assert_eq!(told, expected);
}

#[test]
fn each_keyword_has_its_words() {
    for (schema, body, detail) in [
        (json!({"type": "string"}), json!(1), "must be a string"),
        (
            json!({"type": ["null", "array", "integer"]}),
            json!("x"),
            "must be an integer, an array or null",
        ),
        (json!({"type": ["number", "integer"]}), json!("x"), "must be a number"),
        (json!({"type": "boolean"}), json!("x"), "must be true or false"),
        (json!({"const": "a"}), json!("b"), "must be a"),
        (json!({"const": 1.5}), json!("b"), "must be 1.5"),
        (json!({"const": {"a": 1}}), json!("b"), "must be a certain object"),
        (
            json!({"enum": ["a", 2, null, [1]]}),
            json!("b"),
            "must be one of: a, 2, null, a certain array",
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
        (json!({"uniqueItems": true}), json!([1, 2, 1]), "must not hold the same element twice"),
        (json!({"pattern": "^a+$"}), json!("b"), "must match the pattern ^a+$"),
        (
            json!({"contains": {"const": 1}}),
            json!([2]),
            "must hold the elements it has to contain, and no more of them",
        ),
        (
            json!({"contains": {"const": 1}, "maxContains": 1}),
            json!([1, 1]),
            "must hold the elements it has to contain, and no more of them",
        ),
        (json!({"not": {"type": "string"}}), json!("b"), "must not be what the schema rules out"),
        (json!({"unevaluatedItems": false}), json!([1]), "holds elements that are not known here"),
        (json!({"prefixItems": [true], "items": false}), json!([1, 2]), "is not allowed here"),
        (json!(false), json!(1), "is not allowed here"),
        (
            json!({"oneOf": [true, true]}),
            json!(1),
            "must fit one of the alternatives, and fits more than one",
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
fn members_that_are_not_known_are_pointed_to_one_by_one() {
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let unevaluated = json!({"properties": {"a": true}, "unevaluatedProperties": false});
    let alone = json!({"additionalProperties": false, "patternProperties": {"^a$": true}});
    for schema in [closed, unevaluated, alone] {
        let told = lines(&schema, &json!({"a": 1, "m~n": 1, "x/y": 2}));
        assert_eq!(told, "/m~0n: is not known here\n/x~1y: is not known here", "{schema}");
    }
}

#[test]
fn members_of_what_may_have_none_are_pointed_to_one_by_one() {
    for none in [json!({"additionalProperties": false}), json!({"propertyNames": false})] {
        let schema = json!({"properties": {"a": none.clone()}});
        let told = lines(&schema, &json!({"a": {"x": 1, "y": 2}}));
        assert_eq!(told, "/a/x: is not known here\n/a/y: is not known here", "{none}");
    }
    // A member that is called as the keyword is.
    let schema = json!({"properties": {"additionalProperties": false, "propertyNames": false}});
    let told =
        lines(&schema, &json!({"additionalProperties": {"a": 1}, "propertyNames": {"a": 1}}));
    let expected =
        "/additionalProperties: is not allowed here\n/propertyNames: is not allowed here";
    assert_eq!(told, expected);
}

#[test]
fn names_that_break_a_rule_are_pointed_to() {
    let schema = json!({"propertyNames": {"maxLength": 3}});
    let told = explain(&schema, &json!({"abc": 1, "a/bcd": 1, "\u{1}\"xyz": 1}));
    let told: Vec<_> = told.iter().map(|v| (&*v.pointer, &*v.keyword, &*v.detail)).collect();
    let detail = "its name must not be longer than 3 characters";
    let expected = [("/\u{1}\"xyz", "propertyNames", detail), ("/a~1bcd", "propertyNames", detail)];
    assert_eq!(told, expected);
}

#[test]
fn a_pointer_leads_to_the_place() {
    let schema = json!({"additionalProperties": {"items": {"type": "string"}}});
    let told = explain(&schema, &json!({"a/b~c": ["", 1]}));
    assert_eq!(told[0].pointer, "/a~1b~0c/1");
    // Names are what they say, however they are written.
    let told = explain_text(&schema, r#"{"\u0061\u002f": [1]}"#);
    assert_eq!(told[0].pointer, "/a~1/0");
}

#[test]
fn the_same_is_not_said_twice() {
    let schema = json!({"allOf": [{"type": "string"}, {"type": "string"}, {"$ref": "#/allOf/0"}]});
    assert_eq!(explain(&schema, &json!(1)).len(), 1);
}

#[test]
fn at_most_sixteen_are_told_and_the_last_says_that_there_are_more() {
    let schema = json!({"items": {"type": "string"}});
    let more = "; and there is more, which is not shown";
    let told = explain(&schema, &json!(vec![0; 16]));
    assert_eq!(told.len(), 16);
    assert!(told.iter().all(|v| v.detail == "must be a string"));
    for count in [17, 100, 1_000, 100_000] {
        let told = explain(&schema, &json!(vec![0; count]));
        assert_eq!(told.len(), 16);
        assert!(told[..15].iter().all(|v| v.detail == "must be a string"));
        assert_eq!(told[15].detail, format!("must be a string{more}"));
        assert_eq!(told[15].pointer, "/15");
    }
}

#[test]
fn what_the_schema_says_is_cut_to_a_bounded_length() {
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
fn a_pointer_that_would_be_too_long_leads_to_what_it_is_in() {
    let schema = json!({"additionalProperties": {
        "propertyNames": {"maxLength": 4_000},
        "additionalProperties": {"type": "string"},
    }});
    for length in [250, 255, 256, 1_000, 2_000, 5_000, 100_000] {
        let name = "é".repeat(length / 2);
        let told = explain(&schema, &json!({"deep": {name: 5}}));
        assert!(!told.is_empty());
        for violation in told {
            if violation.pointer.len() > 5 {
                assert!(length < 255 && violation.pointer.len() <= 256);
                assert_eq!(violation.detail, "must be a string");
            } else {
                assert_eq!(violation.pointer, "/deep");
                assert_eq!(violation.detail, "further in, something must be a string");
            }
        }
    }
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let told = explain(&closed, &json!({"é".repeat(100_000): 5}));
    assert_eq!(told[0].pointer, "");
    assert_eq!(told[0].detail, "further in, something is not known here");
}

// === alternatives ===

#[test]
fn alternatives_that_differ_in_type_are_told_together() {
    let told = lines(&chat(), &content(json!(5)));
    assert_eq!(told, "/messages/0/content: must be a string, an array or null");
    let told = lines(&chat(), &chat_with("stop", json!(5)));
    assert_eq!(told, "/stop: must be a string, an array or null");
    let told = lines(&chat(), &chat_with("tool_choice", json!(5)));
    assert_eq!(told, "/tool_choice: must be a string or an object");
    let input = json!({"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]});
    assert_eq!(lines(&input, &json!({})), ": must be a string or an array");
}

#[test]
fn the_alternative_of_the_right_type_is_told() {
    let told = lines(&chat(), &chat_with("stop", json!(["a", 5])));
    assert_eq!(told, "/stop/1: must be a string");
    let told = lines(&chat(), &chat_with("stop", json!(["a", "b", "c", "d", "e"])));
    assert_eq!(told, "/stop: must not have more than 4 elements");
    let told = lines(&chat(), &chat_with("tool_choice", json!("always")));
    assert_eq!(told, "/tool_choice: must be one of: none, auto, required");
    let told = lines(&chat(), &chat_with("tool_choice", json!({"type": "function"})));
    assert_eq!(told, "/tool_choice: function is required");
    let function = json!({"type": "function", "function": {"name": 5}});
    let told = lines(&chat(), &chat_with("tool_choice", function));
    assert_eq!(told, "/tool_choice/function/name: must be a string");
}

#[test]
fn an_enum_without_a_type_is_of_the_type_of_its_options() {
    let choice = json!({"anyOf": [{"enum": ["none", "auto"]}, {"type": "object"}]});
    assert_eq!(lines(&choice, &json!(5)), ": must be a string or an object");
    assert_eq!(lines(&choice, &json!("x")), ": must be one of: none, auto");
}

#[test]
fn the_alternative_that_the_discriminator_names_is_told() {
    let image = json!([{"type": "image_url", "image_url": "https://example.org"}]);
    let told = lines(&chat(), &content(image));
    assert_eq!(told, "/messages/0/content/0/image_url: must be an object");
    let image = json!([{"type": "image_url", "image_url": {"url": "x", "detail": "huge"}}]);
    let told = lines(&chat(), &content(image));
    assert_eq!(told, "/messages/0/content/0/image_url/detail: must be one of: auto, low, high");
    let told = lines(&chat(), &content(json!([{"type": "text"}])));
    assert_eq!(told, "/messages/0/content/0: text is required");
    let told = lines(&chat(), &chat_with("response_format", json!({"type": "json_schema"})));
    assert_eq!(told, "/response_format: json_schema is required");
}

#[test]
fn a_discriminator_that_names_no_alternative_is_told_with_all_it_may_be() {
    let told = lines(&chat(), &content(json!([{"type": "video", "text": "x"}])));
    assert_eq!(told, "/messages/0/content/0/type: must be one of: text, image_url");
    let told = lines(&chat(), &chat_with("response_format", json!({"type": "xml"})));
    assert_eq!(told, "/response_format/type: must be one of: text, json_object, json_schema");
    // Without one, what all alternatives want.
    let told = lines(&chat(), &content(json!([{"text": "x"}, {}])));
    let expected = "/messages/0/content/0: type is required\n\
                    /messages/0/content/1: type is required";
    assert_eq!(told, expected);
}

#[test]
fn of_like_alternatives_the_one_with_the_fewest_faults_then_the_furthest_is_told() {
    let input = json!({"anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
    ]});
    assert_eq!(lines(&input, &json!(["a", "b", 1])), "/2: must be a string");
    assert_eq!(lines(&input, &json!([1, 2, "a"])), "/2: must be an integer");
    assert_eq!(lines(&input, &json!([1, "a"])), "/1: must be an integer");
    assert_eq!(lines(&input, &json!(["a", 1])), "/1: must be a string");
}

#[test]
fn the_alternative_that_fails_deeper_is_told() {
    let schema = json!({"anyOf": [
        {"required": ["url"], "properties": {"url": {"type": "string"}}},
        {"required": ["file"], "properties": {"file": {"type": "string"}}},
    ]});
    assert_eq!(lines(&schema, &json!({"file": 5})), "/file: must be a string");
    assert_eq!(lines(&schema, &json!({})), ": one of these is required: url, file");
}

#[test]
fn alternatives_in_alternatives_are_told_to_the_end() {
    let schema = json!({"anyOf": [
        {"type": "null"},
        {"oneOf": [
            {"type": "string"},
            {"allOf": [{"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}]},
        ]},
    ]});
    assert_eq!(lines(&schema, &json!({})), ": must be a string, true or false, an array or null");
    assert_eq!(lines(&schema, &json!([1])), "/0: must be a string");
}

// === no value is told ===

fn canaries() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u32..1_000).prop_map(|n| json!(format!("CANARY{n}"))),
        (0_u32..1_000).prop_map(|n| json!(f64::from(n) + 987_654.321)),
        (0_u32..1_000).prop_map(|n| json!(987_654_000 + n)),
        prop_oneof![Just("text"), Just("image_url"), Just("user")].prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        const NAMES: &[&str] = &[
            "model",
            "messages",
            "role",
            "content",
            "type",
            "text",
            "image_url",
            "url",
            "stop",
            "temperature",
            "tool_choice",
            "function",
            "name",
            "response_format",
            "a",
            "x/y",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(
                proptest::sample::select(NAMES).prop_map(str::to_owned),
                inner,
                0..6
            )
            .prop_map(|members| json!(members)),
        ]
    })
}

fn schemas() -> Vec<Value> {
    vec![
        chat(),
        json!({"type": "string", "pattern": "^a$", "maxLength": 3}),
        json!({"additionalProperties": false, "properties": {"a": {"const": 1}}}),
        json!({"unevaluatedProperties": false, "unevaluatedItems": false, "minItems": 9}),
        json!({"propertyNames": {"anyOf": [{"maxLength": 2}, {"pattern": "^b"}]}, "contains": {"const": 5}}),
        json!({"not": {"type": ["object", "array"]}, "uniqueItems": true}),
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"anyOf": [
            {"type": "boolean"},
            {"type": "array", "items": {"$ref": "#/$defs/tree"}, "minItems": 1},
            {"type": "array", "items": {"enum": [1, 2]}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}, "required": ["a"]},
        ]}}}),
        json!({"if": {"type": "object"}, "then": {"required": ["zz"], "dependentRequired": {"a": ["b"]}},
            "else": {"multipleOf": 7, "exclusiveMaximum": 3, "minLength": 100, "format": "email"}}),
        json!({"oneOf": [true, {"type": "array"}, {"type": "string"}]}),
        json!(false),
    ]
}

/// That whatever the bytes, the answer is bounded, true and without values. Also for fuzzing.
fn holds_for(schemas: &[Schema], bytes: &[u8]) {
    let Ok(document) = Document::parse(bytes.to_vec()) else { return };
    for schema in schemas {
        let violations = schema.violations(&document);
        assert_eq!(violations.is_empty(), schema.is_valid(&document));
        assert!(violations.len() <= 16);
        for (at, violation) in violations.iter().enumerate() {
            assert!(violation.pointer.len() <= 256 && violation.detail.len() < 2_000);
            assert!(document.root().pointer(&violation.pointer).is_some(), "{violation:?}");
            assert!(!violations[..at].contains(violation));
        }
    }
}

fn compiled() -> Vec<Schema> {
    schemas().iter().map(|schema| Schema::new(schema).unwrap()).collect()
}

#[test]
fn seeds_hold() {
    let compiled = compiled();
    for seed in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "5",
        "1e400",
        "-0",
        r#""\ud83e\udd17""#,
        "[[[[[[]]]]]]",
        r#"{"":1,"~":2,"/":3,"~1":[{"":null}]}"#,
        r#"{"messages":[{"role":5},{"role":"user","content":[{"type":"image_url"},{"type":1}]}]}"#,
        r#"{"a":{"a":{"a":{"a":[1,[2,[3,["x"]]]]}}}}"#,
        "[1.0,1,1e0,{\"b\":1,\"b\\u0061\":2}]",
        r#"{"messages":[[[[[[[[[[[[]]]]]]]]]]]],"stop":[[],{}],"model":{}}"#,
    ] {
        holds_for(&compiled, seed.as_bytes());
    }
    holds_for(&compiled, format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes());
    holds_for(&compiled, format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128)).as_bytes());
    holds_for(&compiled, format!("{}1{}", "[{\"a\":".repeat(64), "}]".repeat(64)).as_bytes());
    holds_for(&compiled, &[0xff, 0xfe]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_value_is_ever_told(body in canaries()) {
        let compiled = compiled();
        let text = body.to_string();
        holds_for(&compiled, text.as_bytes());
        let document = Document::parse(text).unwrap();
        for schema in compiled {
            let rendered = format!("{:?}", schema.violations(&document));
            prop_assert!(!rendered.contains("CANARY") && !rendered.contains("987654"), "{}", rendered);
        }
    }

    #[test]
    fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        holds_for(&compiled(), &bytes);
    }

    #[test]
    fn any_text_like_json_holds(text in r#"[\[\]{}",:0-9a-z\\~/. ]{0,40}"#) {
        holds_for(&compiled(), text.as_bytes());
    }
}

// === what it costs ===

/// What the answer costs: allocations, and the most bytes at once.
fn cost(schema: &Schema, document: &Document) -> (u64, u64, Vec<Violation>) {
    let mut violations = Vec::new();
    let cost = measure(|| violations = schema.violations(document));
    (cost.count_total, cost.bytes_max, violations)
}

#[track_caller]
fn costs_at_most(schema: &Value, body: &str, allocations: u64, bytes: u64) -> Vec<Violation> {
    let bounds = Bounds::new().nodes(4_000_000).depth(1_024);
    let document = Document::parse_within(body.to_owned(), bounds).unwrap();
    let (count, most, violations) = cost(&Schema::new(schema).unwrap(), &document);
    eprintln!(
        "{count} allocations, {most} bytes at once, {} violations: {:?}",
        violations.len(),
        violations.first()
    );
    assert!(count <= allocations, "{count} allocations");
    assert!(most <= bytes, "{most} bytes at once");
    assert!(!violations.is_empty());
    violations
}

fn array_of(element: &str, count: usize) -> String {
    format!("[{}]", vec![element; count].join(","))
}

#[test]
fn a_million_wrong_elements_cost_what_a_few_do() {
    let told = costs_at_most(
        &json!({"items": {"type": "string"}}),
        &array_of("0", 1_000_000),
        2_000,
        262_144,
    );
    assert_eq!(told.len(), 16);
    assert_eq!(told[0].pointer, "/0");

    let one_of = json!({"items": {"oneOf": [{"type": "string"}, {"type": "null"}, {"required": ["a"], "type": "object"}]}});
    costs_at_most(&one_of, &array_of("0", 1_000_000), 4_000, 262_144);
}

#[test]
fn the_last_of_many_elements_is_still_found() {
    let mut body = array_of("\"x\"", 500_000);
    body.insert_str(body.len() - 1, ",5");
    let schema = json!({"anyOf": [{"type": "string"}, {"anyOf": [{"items": {"type": "string"}}]}]});
    let told = costs_at_most(&schema, &body, 1_000, 65_536);
    assert_eq!(told[0].pointer, "/500000");
    assert_eq!(told[0].detail, "must be a string");
}

#[test]
fn a_thousand_alternatives_in_alternatives_cost_a_bounded_answer() {
    let test = || {
        let mut schema = json!({"type": "string"});
        for _ in 0..1_000 {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        let told = costs_at_most(&schema, "5", 20_000, 1_048_576);
        assert_eq!(told[0].detail, "must be a string or null");
        let items = json!({"items": schema});
        costs_at_most(&items, &array_of("5", 100_000), 20_000, 1_048_576);
    };
    // To compile such a schema takes eight kilobytes of stack a level.
    let thread = std::thread::Builder::new().stack_size(64 * 1_024 * 1_024).spawn(test);
    thread.unwrap().join().unwrap();
}

#[test]
fn alternatives_at_each_level_of_a_deep_document_cost_a_bounded_answer() {
    let branch = json!({"type": "array", "items": {"$ref": "#"}});
    let schema = json!({"anyOf": [branch.clone(), branch.clone(), branch, {"type": "null"}]});
    for depth in [4, 8, 16, 32, 64, 128] {
        let body = format!("{}5{}", "[".repeat(depth), "]".repeat(depth));
        let told = costs_at_most(&schema, &body, 20_000, 4_194_304);
        assert_eq!(told[0].pointer, "/0".repeat(depth));
        assert!(told[0].detail.starts_with("must be an array or null"));
    }
    // Judged as deep as the bounds of documents allow, and told to the default depth.
    for depth in [129, 500, 800] {
        let body = format!("{}5{}", "[".repeat(depth), "]".repeat(depth));
        let told = costs_at_most(&schema, &body, 20_000, 4_194_304);
        assert_eq!((&*told[0].pointer, &*told[0].detail), ("", "is not as the schema says"));
    }
}

#[test]
fn what_takes_too_long_to_find_is_told_of_the_whole() {
    let mut all = vec![json!({"items": {"type": "string"}}); 20];
    all.push(json!({"maxItems": 5}));
    let body = array_of("\"x\"", 500_000);
    let told = costs_at_most(&json!({"allOf": all}), &body, 100, 65_536);
    assert_eq!(told.len(), 1);
    assert_eq!((&*told[0].pointer, &*told[0].keyword), ("", "schema"));
    assert_eq!(told[0].detail, "is not as the schema says");
}

#[test]
fn members_that_are_not_known_cost_their_names_once() {
    let members: Vec<String> = (0..100_000).map(|i| format!("\"member-{i}\":0")).collect();
    let body = format!("{{{}}}", members.join(","));
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let told = costs_at_most(&closed, &body, 101_000, 8_388_608);
    assert_eq!(told.len(), 16);
    assert_eq!(told[0].pointer, "/member-0");
    assert_eq!(told[15].pointer, "/member-15");
}

#[test]
fn details_below_long_names_cost_no_copy_of_them() {
    let schema = json!({"additionalProperties": {"items": {"type": "string"}}});
    let body = format!("{{\"{}\":{}}}", "n".repeat(1_000_000), array_of("0", 10_000));
    costs_at_most(&schema, &body, 2_000, 1_048_576);
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let body = format!("{{\"{}\":0,\"{}\":0}}", "n".repeat(1_000_000), "m".repeat(1_000_000));
    costs_at_most(&closed, &body, 500, 65_536);
}

#[test]
fn a_thousand_members_that_are_missing_cost_a_bounded_answer() {
    let names: Vec<_> = (0..1_000).map(|i| format!("name-{i}")).collect();
    let schema = json!({"items": {"required": names}});
    let told = costs_at_most(&schema, &array_of("{}", 10_000), 20_000, 2_097_152);
    assert_eq!(told[0].detail, "name-0 is required");
}

#[test]
fn elements_that_repeat_cost_a_bounded_answer() {
    let schema = json!({"items": {"uniqueItems": true}});
    let told = costs_at_most(&schema, &array_of("[1,1]", 100_000), 110_000_000, 8_388_608);
    assert_eq!(told.len(), 16);
}
