//! Bounds on schemas, stacks and time.

use std::thread;

use serde_json::{Map, Value, json};
use tower_inference::{
    payload::{Document, DocumentBounds},
    schema::{Schema, SchemaFault},
};

use crate::accepts;

/// Runs on a stack such as workers of a runtime have.
fn on_a_worker(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

fn nested(levels: usize, around: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(json!(true), |schema, _| around(schema))
}

fn fault(schema: &Value) -> SchemaFault {
    Schema::new(schema).unwrap_err().fault
}

#[test]
fn schemas_are_up_to_128_deep() {
    on_a_worker(|| {
        let ways: [fn(Value) -> Value; 4] = [
            |schema| json!({"items": schema}),
            |schema| json!({"not": schema}),
            |schema| json!({"additionalProperties": schema}),
            |schema| json!({"if": schema}),
        ];
        for around in ways {
            assert!(Schema::new(&nested(128, around)).is_ok());
            assert_eq!(fault(&nested(129, around)), SchemaFault::TooDeep);
        }
        // Deeper than any stack, and so not to be dropped either.
        let deep = nested(200_000, |schema| Value::Array(vec![schema]));
        assert_eq!(fault(&deep), SchemaFault::TooDeep);
        std::mem::forget(deep);
    });
}

#[test]
fn deep_mutual_references_compile() {
    on_a_worker(|| {
        let mut definitions = Map::new();
        for index in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
            let deep = (0..120).fold(next, |schema, _| json!({"items": schema}));
            definitions.insert(format!("d{index}"), deep);
        }
        definitions.insert("d40".to_owned(), json!({"type": "null"}));
        let schema = Schema::new(&json!({"$defs": definitions, "$ref": "#/$defs/d0"})).unwrap();
        assert!(accepts(&schema, "[[[]]]"));
    });
}

#[test]
fn schemas_have_up_to_a_quarter_million_values() {
    let list = |length: usize| json!({"enum": (0..length).collect::<Vec<_>>()});
    assert!(Schema::new(&list((1 << 18) - 2)).is_ok());
    assert_eq!(fault(&list((1 << 18) - 1)), SchemaFault::TooLarge);
    let given = Schema::builder().document("urn:a", list(1 << 18));
    let error = given.build(&json!(true)).unwrap_err();
    assert_eq!((error.fault, error.document.as_deref()), (SchemaFault::TooLarge, Some("urn:a")));
}

#[test]
fn recursive_schema_is_valid() {
    on_a_worker(|| {
        // Without an end: nothing is asked for.
        for circle in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        ] {
            assert!(Schema::new(&circle).is_ok_and(|schema| accepts(&schema, "[1]")), "{circle}");
        }
        // Once for each level of the document.
        let tree = Schema::new(&json!({"type": "array", "items": {"$ref": "#"}})).unwrap();
        for depth in [1, 128, 1_024] {
            let document = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(accepts(&tree, &document), "{depth}");
            let document = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            assert!(!accepts(&tree, &document), "{depth}");
        }
        let dynamic = Schema::new(
            &json!({"$dynamicAnchor": "node", "type": "array", "items": {"$dynamicRef": "#node"}}),
        );
        assert!(accepts(&dynamic.unwrap(), &format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))));
    });
}

/// A schema that takes `links` steps at each level of the document, and comes back to itself.
fn chain(links: usize, end: Value) -> Value {
    let mut definitions = Map::new();
    for index in 0..links {
        let next = json!({"allOf": [{"$ref": format!("#/$defs/d{}", index + 1)}, true]});
        definitions.insert(format!("d{index}"), next);
    }
    definitions.insert(format!("d{links}"), end);
    json!({"$defs": definitions, "$ref": "#/$defs/d0"})
}

#[test]
fn deep_validation_stops_before_the_stack_overflows() {
    on_a_worker(|| {
        let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let back = json!({"items": {"$ref": "#/$defs/d0"}});
        // The chain alone, and once more for each level.
        let schema = Schema::new(&chain(100, back.clone())).unwrap();
        assert!(accepts(&schema, &arrays(8)));
        let deep =
            Document::parse_within(arrays(1_024), DocumentBounds::new().max_depth(1_024)).unwrap();
        assert!(!schema.is_valid(&deep));
        let violations = schema.violations(&deep);
        assert_eq!(violations.len(), 1);
        assert_eq!((&*violations[0].pointer, &*violations[0].keyword), ("", "$ref"));
        // Without a way back the depth of the document does not count.
        let schema = Schema::new(&chain(100, json!(true))).unwrap();
        assert!(accepts(&schema, &arrays(1_024)));
        // Longer than any document is short.
        assert_eq!(fault(&chain(5_000, json!(true))), SchemaFault::TooDeep);
        assert_eq!(fault(&chain(5_000, back)), SchemaFault::TooDeep);
    });
}

// === uniqueItems ===

fn unique() -> Schema {
    Schema::new(&json!({"uniqueItems": true})).unwrap()
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

#[test]
fn a_million_elements_are_compared() {
    let distinct = list((0..1_000_000).map(|number| number.to_string()));
    assert!(accepts(&unique(), &distinct));
    let again = list((0..1_000_000).map(|number| (number % 999_999).to_string()));
    assert!(!accepts(&unique(), &again));
}

#[test]
fn large_objects_are_equal_in_any_order() {
    let members = |names: &mut dyn Iterator<Item = usize>, last: usize| {
        let members =
            names.map(|name| format!(r#""{name}": {}"#, if name == 7 { last } else { 0 }));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let one = members(&mut (0..200_000), 0);
    for (last, is_unique) in [(0, false), (1, true)] {
        let other = members(&mut (0..200_000).rev(), last);
        assert_eq!(accepts(&unique(), &format!("[{one}, {other}]")), is_unique);
        let many = list((0..20).map(|number| number.to_string()));
        assert_eq!(accepts(&unique(), &format!("[{one}, {other}, {}", &many[1..])), is_unique);
    }
}

#[test]
fn equal_values_are_equal_in_any_spelling() {
    let same = [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("0", "-0.0"),
        ("0", "0e400"),
        ("1e400", "10e399"),
        ("-2.50", "-25e-1"),
        (r#""a\u0062""#, r#""ab""#),
        (r#"{"a": 1, "\u0062": 2}"#, r#"{"b": 2, "a": 1.0}"#),
        ("[1, [2]]", "[1e0, [2.0]]"),
    ];
    let differ = [
        ("1", "true"),
        ("0", "false"),
        ("1", r#""1""#),
        ("null", "false"),
        ("[]", "{}"),
        ("1e400", "1e401"),
        ("1", "-1"),
        ("[1, 2]", "[2, 1]"),
        (r#"{"a": 1}"#, r#"{"b": 1}"#),
        ("[[], []]", "[[[]]]"),
        ("18446744073709551616", "18446744073709551617"),
    ];
    for (pairs, is_unique) in [(&same[..], false), (&differ[..], true)] {
        for (one, other) in pairs {
            assert_eq!(
                accepts(&unique(), &format!("[{one}, {other}]")),
                is_unique,
                "{one} {other}"
            );
            let more = list((100..130).map(|number| number.to_string()));
            let many = format!("[{one}, {}, {other}]", &more[1..more.len() - 1]);
            assert_eq!(accepts(&unique(), &many), is_unique, "{one} {other} among many");
        }
    }
}
