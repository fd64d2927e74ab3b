//! Violations are bounded and true and contain no value of the document.

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_inference::payload::Document;

use crate::violations::{compiled, hold, schemas};

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

/// The places of an error, and of what is in it.
fn places_of(error: &jsonschema::ValidationError<'_>, places: &mut Vec<String>) {
    use jsonschema::error::ValidationErrorKind as Kind;

    let here = error.instance_path().as_str();
    places.push(here.to_owned());
    let member = |name: &String| format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
    match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            context.iter().flatten().for_each(|error| places_of(error, places));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            places.extend(unexpected.iter().map(member));
        }
        Kind::PropertyNames { error } => {
            places.extend(error.instance().as_str().map(|name| member(&name.to_owned())));
        }
        _ => {}
    }
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
        hold(&compiled, seed.as_bytes());
    }
    hold(&compiled, format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes());
    hold(&compiled, format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128)).as_bytes());
    hold(&compiled, format!("{}1{}", "[{\"a\":".repeat(64), "}]".repeat(64)).as_bytes());
    hold(&compiled, &[0xff, 0xfe]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_violation_contains_a_value(body in canaries()) {
        let compiled = compiled();
        let text = body.to_string();
        hold(&compiled, text.as_bytes());
        let document = Document::parse(text).unwrap();
        for schema in compiled {
            let violations = schema.violations(&document);
            let reported = format!("{violations:?}");
            prop_assert!(!reported.contains("CANARY") && !reported.contains("987654"), "{}", reported);
            // Of a small document more is known than that it is wrong.
            prop_assert!(violations.iter().all(|violation| violation.keyword != "schema"));
        }
    }

    #[test]
    fn violations_agree_with_the_unbounded_validator(body in canaries()) {
        let document = Document::parse(body.to_string()).unwrap();
        for (schema, compiled) in schemas().iter().zip(compiled()) {
            let validator = jsonschema::validator_for(schema).unwrap();
            let mut places = Vec::new();
            for error in validator.iter_errors(&body) {
                places_of(&error, &mut places);
            }
            for violation in compiled.violations(&document) {
                prop_assert!(places.contains(&violation.pointer), "{:?} {:?}", violation, places);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_have_bounded_violations(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        hold(&compiled(), &bytes);
    }

    #[test]
    fn json_like_text_has_bounded_violations(text in r#"[\[\]{}",:0-9a-z\\~/. ]{0,40}"#) {
        hold(&compiled(), text.as_bytes());
    }
}
