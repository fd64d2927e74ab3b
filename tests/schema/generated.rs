//! Validation of generated documents agrees with validation of `serde_json::Value`.

use jsonschema::PatternOptions;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use tower_inference::{
    payload::Document,
    schema::{Draft, Schema},
};

use crate::DRAFTS;

// === documents, as they are written ===

/// Few names, so that schemas and documents speak of the same.
const NAMES: [&str; 7] = ["a", "b", "ab", "\u{e9}", "a/b~c", "nullable", ""];

/// Numbers that `serde_json` holds without rounding.
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "3.0",
    "1.5",
    "-0.0",
    "0.1",
    "1e2",
    "25e-1",
    "10.00",
    "1E+1",
    "255",
    "9007199254740993",
    "1e15",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "1e22",
    "1e-7",
    "6",
];

/// A string as one of the many ways to write it.
fn written(text: &str, escapes: u64) -> String {
    let mut literal = String::from("\"");
    for (index, char) in text.chars().enumerate() {
        if (escapes >> (index % 64)) & 1 == 1 {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                literal.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            literal.push(char);
        }
    }
    literal + "\""
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&NAMES[..]).prop_map(str::to_owned),
        "[a-c0-9\u{e9}\u{20ac}\u{1f600} ]{0,12}",
        Just("user@example.com".to_owned()),
        Just("2026-11-23".to_owned()),
        Just("127.0.0.1".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    (text(), prop_oneof![3 => Just(0), 1 => any::<u64>()])
        .prop_map(|(text, escapes)| written(&text, escapes))
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        select(&NUMBERS[..]).prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        string(),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        // Elements are there twice now and then; members are not, as the reader sees to it.
        let list = (vec(inner.clone(), 0..20), any::<bool>()).prop_map(|(mut list, twice)| {
            if twice && let Some(first) = list.first().cloned() {
                list.push(first);
            }
            format!("[{}]", list.join(","))
        });
        let member = (select(&NAMES[..]), prop_oneof![3 => Just(0), 1 => any::<u64>()], inner);
        let object = vec(member, 0..7).prop_map(|members| {
            let mut seen = Vec::new();
            let mut kept = Vec::new();
            for (name, escapes, value) in members {
                if !seen.contains(&name) {
                    seen.push(name);
                    kept.push(format!("{}: {value}", written(name, escapes)));
                }
            }
            format!("{{{}}}", kept.join(" ,\n"))
        });
        prop_oneof![list, object]
    })
}

fn value() -> impl Strategy<Value = Value> {
    document().prop_map(|text| serde_json::from_str(&text).unwrap())
}

// === schemas ===

fn number() -> impl Strategy<Value = Value> {
    select(&NUMBERS[..]).prop_map(|text| serde_json::from_str(text).unwrap())
}

fn kinds() -> impl Strategy<Value = Value> {
    let one = select(&["null", "boolean", "number", "integer", "string", "array", "object"][..]);
    prop_oneof![
        one.clone().prop_map(Value::from),
        Just(json!(["integer", "string"])),
        Just(json!(["null", "number", "object"]))
    ]
}

fn names() -> impl Strategy<Value = Value> {
    proptest::sample::subsequence(&NAMES[..], 1..4).prop_map(|names| json!(names))
}

/// A keyword that holds no schemas, with a value that every draft understands.
fn plain() -> impl Strategy<Value = (&'static str, Value)> {
    const PATTERNS: [&str; 9] = [
        "^a",
        "b$",
        "^[a-c]+$",
        "\\d",
        "^(a|b|ab)$",
        "\u{e9}",
        "^\\S*$",
        "^.{0,3}$",
        "^[a-z0-9]{1,4}$",
    ];
    prop_oneof![
        kinds().prop_map(|kinds| ("type", kinds)),
        vec(value(), 1..6).prop_map(|mut values| {
            // Draft 4 asks for distinct ones.
            values.dedup();
            let distinct = jsonschema::json::unique::is_unique(&values);
            ("enum", Value::Array(if distinct { values } else { values.drain(..1).collect() }))
        }),
        value().prop_map(|value| ("const", value)),
        number().prop_map(|bound| ("minimum", bound)),
        number().prop_map(|bound| ("maximum", bound)),
        select(&[1.0, 2.0, 3.0, 0.1, 0.5, 1e10, 7.0][..]).prop_map(|by| ("multipleOf", json!(by))),
        (0..6_u8).prop_map(|bound| ("minLength", json!(bound))),
        (0..6_u8).prop_map(|bound| ("maxLength", json!(bound))),
        select(&PATTERNS[..]).prop_map(|pattern| ("pattern", pattern.into())),
        (0..4_u8).prop_map(|bound| ("minItems", json!(bound))),
        (0..6_u8).prop_map(|bound| ("maxItems", json!(bound))),
        any::<bool>().prop_map(|is_unique| ("uniqueItems", is_unique.into())),
        (0..4_u8).prop_map(|bound| ("minProperties", json!(bound))),
        (0..4_u8).prop_map(|bound| ("maxProperties", json!(bound))),
        names().prop_map(|names| ("required", names)),
        select(&["email", "date", "ipv4", "uri", "regex", "json-pointer", "uuid"][..])
            .prop_map(|format| ("format", format.into())),
        select(&["#", "#/definitions/one", "#/definitions/two"][..])
            .prop_map(|to| ("$ref", to.into())),
        (0..3_u8).prop_map(|bound| ("minContains", json!(bound))),
        (0..3_u8).prop_map(|bound| ("maxContains", json!(bound))),
        (select(&NAMES[..]), names())
            .prop_map(|(name, names)| ("dependentRequired", json!({name: names}))),
    ]
}

/// A keyword that holds schemas.
fn holding(
    schema: impl Strategy<Value = Value> + Clone + 'static,
) -> impl Strategy<Value = (&'static str, Value)> {
    let list = vec(schema.clone(), 1..4).prop_map(Value::Array);
    let members = vec((select(&NAMES[..]), schema.clone()), 0..5).prop_map(|members| {
        json!(members.into_iter().collect::<std::collections::BTreeMap<_, _>>())
    });
    let patterns =
        vec((select(&["^a", "b", "^\u{e9}$"][..]), schema.clone()), 0..3).prop_map(|members| {
            json!(members.into_iter().collect::<std::collections::BTreeMap<_, _>>())
        });
    prop_oneof![
        2 => (select(&["allOf", "anyOf", "oneOf", "prefixItems"][..]), list),
        3 => (select(&["properties", "dependencies", "dependentSchemas"][..]), members),
        1 => (Just("patternProperties"), patterns),
        3 => (
            select(
                &[
                    "not", "if", "then", "else", "items", "additionalItems", "additionalProperties", "contains",
                    "propertyNames", "unevaluatedItems", "unevaluatedProperties",
                ][..]
            ),
            schema
        ),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let object = |keywords: Vec<(&str, Value)>| {
        keywords.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()
    };
    let leaf = vec(plain(), 0..4).prop_map(move |keywords| Value::Object(object(keywords)));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (vec(plain(), 0..3), vec(holding(inner), 1..4)).prop_map(move |(plain, holding)| {
            let mut schema = object(plain);
            schema.extend(object(holding));
            Value::Object(schema)
        })
    })
}

fn engine(draft: Draft) -> jsonschema::Draft {
    match draft {
        Draft::Draft4 => jsonschema::Draft::Draft4,
        Draft::Draft6 => jsonschema::Draft::Draft6,
        Draft::Draft7 => jsonschema::Draft::Draft7,
        Draft::Draft201909 => jsonschema::Draft::Draft201909,
        _ => jsonschema::Draft::Draft202012,
    }
}

fn on_values(
    schema: &Value,
    draft: Draft,
    formats: bool,
) -> Result<jsonschema::Validator, jsonschema::ValidationError<'static>> {
    jsonschema::options()
        .offline()
        .with_draft(engine(draft))
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .should_validate_formats(formats)
        .build(schema)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn validity_agrees_with_validation_of_values(
        mut root in schema(),
        one in schema(),
        two in schema(),
        documents in vec(document(), 8),
        draft in select(&DRAFTS[..]),
        formats in any::<bool>(),
    ) {
        root["definitions"] = json!({"one": one, "two": two});
        let mut builder = Schema::builder().draft(draft);
        if formats {
            builder = builder.formats();
        }
        let own = builder.build(&root);
        let on_values = on_values(&root, draft, formats);
        prop_assert_eq!(own.is_ok(), on_values.is_ok(), "{:?} {:?}", own, on_values.err());
        let (Ok(own), Ok(on_values)) = (own, on_values) else { return Ok(()) };
        for text in documents {
            let value: Value = serde_json::from_str(&text).unwrap();
            let document = Document::parse(text.clone()).unwrap();
            prop_assert_eq!(own.is_valid(&document), on_values.is_valid(&value), "{} {}", root, text);
        }
    }
}
