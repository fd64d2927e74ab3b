use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::payload::Document;

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn canonical(text: &str) -> Vec<u8> {
    without(text, &[])
}

fn without(text: &str, ignored: &[&str]) -> Vec<u8> {
    let document = Document::parse(text.to_owned()).unwrap();
    let mut bytes = Vec::new();
    put_canonical(document.root(), |name| ignored.contains(&name), &mut bytes);
    bytes
}

#[test]
fn order_white_space_and_escapes_do_not_matter() {
    let one = canonical(r#"{"a":[1,"é",{"x":null,"y":true}],"b":""}"#);
    let other =
        canonical("{ \"b\" : \"\",\n\"\\u0061\":[1, \"\\u00e9\", {\"y\":true,\"x\":null}] }");
    assert_eq!(one, other);
}

#[test]
fn numbers_are_compared_exactly() {
    for equal in
        [["1", "1.0"], ["1", "10e-1"], ["1e2", "100"], ["0", "-0.0e9"], ["-2.50", "-25E-1"]]
    {
        assert_eq!(canonical(equal[0]), canonical(equal[1]), "{equal:?}");
    }
    for apart in [
        ["9007199254740992", "9007199254740993"],
        ["1e400", "1e401"],
        ["0.1", "0.10000000000000001"],
        ["1", "-1"],
    ] {
        assert_ne!(canonical(apart[0]), canonical(apart[1]), "{apart:?}");
    }
}

#[test]
fn kinds_and_nesting_differ() {
    let all = [
        "null",
        "true",
        "false",
        "1",
        r#""1""#,
        r#""null""#,
        "[]",
        "{}",
        "[[]]",
        "[1]",
        "[[1]]",
        "[1,1]",
        "[[1],1]",
        "[1,[1]]",
        r#"{"a":1}"#,
        r#"["a",1]"#,
        r#"{"a":{"b":1},"c":2}"#,
        r#"{"a":{"b":1,"c":2}}"#,
        r#"{"a":[],"b":1}"#,
        r#"{"a":["b",1]}"#,
        r#"["ab"]"#,
        r#"["a","b"]"#,
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(canonical(one), canonical(other), "{one} and {other}");
        }
    }
}

#[test]
fn only_members_of_the_root_are_ignored() {
    let user = without(r#"{"user":"u-1","messages":[{"user":"x"}]}"#, &["user"]);
    assert_eq!(user, canonical(r#"{"messages":[{"user":"x"}]}"#));
    assert_ne!(user, without(r#"{"user":"u-1","messages":[{"user":"y"}]}"#, &["user"]));
    assert_ne!(user, without(r#"{"user":"u-1","messages":[{}]}"#, &["user"]));
}

#[test]
fn a_deep_document_does_not_overflow_the_stack() {
    let depth = 1_024;
    let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let bounds = crate::payload::DocumentBounds::new().max_depth(1_024);
    let document = Document::parse_within(text, bounds).unwrap();
    let mut bytes = Vec::new();
    put_canonical(document.root(), |_| false, &mut bytes);
    assert_eq!(bytes.len(), depth * 2);
}

/// Any value. There are few names and strings, so that equal values occur.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        prop_oneof![Just(0.5), Just(1e300), Just(-0.25)].prop_map(|number: f64| json!(number)),
        "[ab\\\\\"é\n]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[abc]{1,2}", inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Writes the same value with spaces, escapes and its members in reverse order.
fn written_differently(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!(" \"{units}\" ")
        }
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(written_differently).collect();
            format!("[ {} ]", elements.join("\n,"))
        }
        Value::Object(members) => {
            let members = members.iter().rev();
            let members: Vec<_> = members
                .map(|(name, value)| {
                    format!("{}:{}", written_differently(&json!(name)), written_differently(value))
                })
                .collect();
            format!("{{{}}}", members.join(" , "))
        }
        other => format!("\t{other}"),
    }
}

proptest! {
    #[test]
    fn forms_are_equal_if_and_only_if_the_documents_are(one in values(), other in values()) {
        prop_assert_eq!(canonical(&one.to_string()), canonical(&written_differently(&one)));
        let same = canonical(&one.to_string()) == canonical(&other.to_string());
        prop_assert_eq!(same, one == other);
    }

    /// Compares with exact integers, which `f64` would confuse.
    #[test]
    fn numbers_are_equal_if_their_digits_are(
        digits in "[1-9][0-9]{0,40}", other in "[1-9][0-9]{0,40}", zeros in 0_usize..6, shift in 0_usize..6,
    ) {
        let shifted = format!("{digits}{}e-{}", "0".repeat(shift), shift);
        let point = format!("{digits}.{}", "0".repeat(zeros + 1));
        prop_assert_eq!(canonical(&digits), canonical(&shifted));
        prop_assert_eq!(canonical(&digits), canonical(&point));
        prop_assert_eq!(canonical(&digits) == canonical(&other), digits == other);
    }
}
