//! The cost of collecting violations in allocations and bytes.

use allocation_counter::measure;
use serde_json::{Value, json};
use tower_inference::{
    payload::{Document, DocumentBounds},
    rejection::Violation,
    schema::Schema,
};

/// What the answer costs: allocations, and the most bytes at once.
fn cost(schema: &Schema, document: &Document) -> (u64, u64, Vec<Violation>) {
    let mut violations = Vec::new();
    let cost = measure(|| violations = schema.violations(document));
    (cost.count_total, cost.bytes_max, violations)
}

#[track_caller]
fn costs_at_most(schema: &Value, body: &str, allocations: u64, bytes: u64) -> Vec<Violation> {
    let bounds = DocumentBounds::new().max_values(4_000_000).max_depth(1_024);
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
fn a_million_wrong_elements_cost_as_much_as_a_few() {
    let reported = costs_at_most(
        &json!({"items": {"type": "string"}}),
        &array_of("0", 1_000_000),
        2_000,
        262_144,
    );
    assert_eq!(reported.len(), 16);
    assert_eq!(reported[0].pointer, "/0");

    let one_of = json!({"items": {"oneOf": [{"type": "string"}, {"type": "null"}, {"required": ["a"], "type": "object"}]}});
    costs_at_most(&one_of, &array_of("0", 1_000_000), 4_000, 262_144);
}

#[test]
fn last_of_many_elements_is_found() {
    let mut body = array_of("\"x\"", 500_000);
    body.insert_str(body.len() - 1, ",5");
    let schema = json!({"anyOf": [{"type": "string"}, {"anyOf": [{"items": {"type": "string"}}]}]});
    let reported = costs_at_most(&schema, &body, 1_000, 65_536);
    assert_eq!(reported[0].pointer, "/500000");
    assert_eq!(reported[0].detail, "must be a string");
}

/// Alternatives in alternatives, so many levels of them.
fn alternatives(levels: usize) -> Value {
    let level = |i| json!({"anyOf": [{"$ref": format!("#/$defs/level{i}")}, {"type": "null"}]});
    let mut defs: serde_json::Map<_, _> =
        (0..levels).map(|i| (format!("level{i}"), level(i + 1))).collect();
    defs.insert(format!("level{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/level0", "$defs": defs})
}

#[test]
fn nested_alternatives_have_a_bounded_cost() {
    for levels in [1, 10, 100, 280] {
        let reported = costs_at_most(&alternatives(levels), "5", 20_000, 2_097_152);
        assert!(reported[0].detail.starts_with("must be a string or null"));
        let mut items = alternatives(levels);
        let root = items.as_object_mut().unwrap();
        let level = root.remove("$ref").unwrap();
        root.insert("items".to_owned(), json!({"$ref": level}));
        costs_at_most(&items, &array_of("5", 100_000), 20_000, 2_097_152);
    }
    // Deeper than a stack holds while details are gathered.
    let reported = costs_at_most(&alternatives(1_000), "5", 100, 16_384);
    assert_eq!(reported[0].detail, "does not match the schema");
}

#[test]
fn alternatives_at_each_level_have_a_bounded_cost() {
    let branch = json!({"type": "array", "items": {"$ref": "#"}});
    let schema = json!({"anyOf": [branch.clone(), branch.clone(), branch, {"type": "null"}]});
    for depth in [4, 8, 16, 32, 64, 128] {
        let body = format!("{}5{}", "[".repeat(depth), "]".repeat(depth));
        let reported = costs_at_most(&schema, &body, 20_000, 2_097_152);
        assert_eq!(reported[0].pointer, "/0".repeat(depth));
        assert!(reported[0].detail.starts_with("must be an array or null"));
    }
    // Judged deeper than reported.
    for depth in [500, 600] {
        let body = format!("{}5{}", "[".repeat(depth), "]".repeat(depth));
        let reported = costs_at_most(&schema, &body, 20_000, 4_194_304);
        assert_eq!(
            (&*reported[0].pointer, &*reported[0].detail),
            ("", "does not match the schema")
        );
    }
}

#[test]
fn violation_beyond_the_budget_names_the_whole_document() {
    let mut all = vec![json!({"items": {"type": "string"}}); 20];
    // Of an array that is not seen to its end, the first would be said though it is not so.
    all.push(json!({"not": {"items": {"type": "integer"}}, "maxItems": 5}));
    let body = array_of("\"x\"", 500_000);
    let reported = costs_at_most(&json!({"allOf": all}), &body, 100, 65_536);
    assert_eq!(reported.len(), 1);
    assert_eq!((&*reported[0].pointer, &*reported[0].keyword), ("", "schema"));
    assert_eq!(reported[0].detail, "does not match the schema");
}

#[test]
fn unknown_members_cost_their_names_once() {
    let members: Vec<String> = (0..100_000).map(|i| format!("\"member-{i}\":0")).collect();
    let body = format!("{{{}}}", members.join(","));
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let reported = costs_at_most(&closed, &body, 101_000, 8_388_608);
    assert_eq!(reported.len(), 16);
    assert_eq!(reported[0].pointer, "/member-0");
    assert_eq!(reported[15].pointer, "/member-15");
}

#[test]
fn violations_below_long_names_do_not_copy_them() {
    let schema = json!({"additionalProperties": {"items": {"type": "string"}}});
    let body = format!("{{\"{}\":{}}}", "n".repeat(1_000_000), array_of("0", 10_000));
    costs_at_most(&schema, &body, 2_000, 1_048_576);
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let body = format!("{{\"{}\":0,\"{}\":0}}", "n".repeat(1_000_000), "m".repeat(1_000_000));
    costs_at_most(&closed, &body, 500, 65_536);
}

#[test]
fn a_thousand_missing_members_have_a_bounded_cost() {
    let names: Vec<_> = (0..1_000).map(|i| format!("name-{i}")).collect();
    let schema = json!({"items": {"required": names}});
    let reported = costs_at_most(&schema, &array_of("{}", 10_000), 20_000, 2_097_152);
    assert_eq!(reported[0].detail, "name-0 is required");
}

#[test]
fn repeated_elements_have_a_bounded_cost() {
    let schema = json!({"items": {"uniqueItems": true}});
    let reported = costs_at_most(&schema, &array_of("[1,1]", 100_000), 110_000_000, 8_388_608);
    assert_eq!(reported.len(), 16);
}
