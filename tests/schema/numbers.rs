//! Numbers in any spelling and beyond the range of every type.

use serde_json::{Value, json};
use tower_inference::schema::{Draft, Schema};

use crate::{accepted, accepted_in, accepts};

#[test]
fn number_beyond_f64_exceeds_every_bound() {
    let documents = ["1e400", "-1e400"];
    for (schema, expected) in [
        (json!({"maximum": 10}), &["-1e400"][..]),
        (json!({"maximum": f64::MAX}), &["-1e400"]),
        (json!({"exclusiveMaximum": u64::MAX}), &["-1e400"]),
        (json!({"minimum": 10}), &["1e400"]),
        (json!({"exclusiveMinimum": i64::MIN}), &["1e400"]),
        (json!({"type": "integer"}), &["1e400", "-1e400"]),
        (json!({"type": "number"}), &["1e400", "-1e400"]),
        (json!({"const": f64::MAX}), &[]),
        (json!({"enum": [1, f64::MAX]}), &[]),
        (json!({"multipleOf": 10}), &["1e400", "-1e400"]),
        (json!({"multipleOf": 3}), &[]),
    ] {
        assert_eq!(accepted(&schema, documents), expected, "{schema}");
    }
}

#[test]
fn number_with_a_hundred_thousand_digits_is_valid() {
    let nines = "9".repeat(100_000);
    let verdict = |schema: Value, document: &str| accepts(&Schema::new(&schema).unwrap(), document);
    assert!(verdict(json!({"type": "integer", "multipleOf": 9}), &nines));
    assert!(!verdict(json!({"multipleOf": 7}), &format!("{nines}1")));
    assert!(!verdict(json!({"maximum": 1e308}), &nines));
    assert!(!verdict(json!({"type": "integer"}), &format!("0.{nines}")));
    assert!(verdict(json!({"maximum": 1}), &format!("0.{nines}")));
    let zeros = "0".repeat(100_000);
    assert!(verdict(json!({"type": "integer", "const": 1}), &format!("1.{zeros}")));
    assert!(verdict(json!({"type": "integer"}), &format!("1e{nines}")));
    assert!(!verdict(json!({"type": "integer"}), &format!("1e-{nines}")));
    assert!(verdict(json!({"multipleOf": 1024}), &format!("1e{nines}")));
    assert!(verdict(json!({"uniqueItems": true}), &format!("[{nines}, {nines}1, 1{zeros}]")));
    assert!(!verdict(json!({"uniqueItems": true}), &format!("[1{zeros}, 1e100000]")));
}

#[test]
fn digits_decide_without_rounding() {
    let integers =
        ["18446744073709551617", "1e400", "1.0", "12e-1", "1.5e1", "0.00e5", "10e-1", "-0"];
    let schema = json!({"type": "integer"});
    let expected = ["18446744073709551617", "1e400", "1.0", "1.5e1", "0.00e5", "10e-1", "-0"];
    assert_eq!(accepted(&schema, integers), expected);
    let close = ["1.00000000000000000000000000000000001", "9007199254740993.5", "1e-400"];
    assert!(accepted(&schema, close).is_empty());
    // 2^64 + 1 = 274177 * 67280421310721.
    let schema = json!({"multipleOf": 274_177});
    let documents =
        ["18446744073709551617", "18446744073709551616", "18446744073709551617.0", "1e-400"];
    assert_eq!(accepted(&schema, documents), ["18446744073709551617", "18446744073709551617.0"]);
    // 10^30, which no f64 is.
    let schema = json!({"multipleOf": 1_000_000_007});
    assert_eq!(accepted(&schema, ["1e30", "1000000007e30", "1000000007.000e+30"]).len(), 2);
    let schema = json!({"multipleOf": 1_u64 << 53});
    assert_eq!(accepted(&schema, ["1e52", "1e53", "1e400", "1e999999999999999999999"]).len(), 3);
}

#[test]
fn draft_4_checks_the_spelling_of_integers() {
    let schema = json!({"type": "integer"});
    let documents = ["1", "-0", "1.0", "1e2", "18446744073709551617", "1e30", "1e-2"];
    let expected = ["1", "-0", "18446744073709551617", "1e30"];
    assert_eq!(accepted_in(Draft::Draft4, &schema, documents), expected);
}

/// What `serde_json` holds without rounding.
const HELD: [&str; 38] = [
    "0",
    "-0",
    "-0.0",
    "0.0",
    "0e5",
    "1",
    "-1",
    "1.0",
    "1e0",
    "10e-1",
    "1E+2",
    "100",
    "1.5",
    "-1.5",
    "0.1",
    "0.25",
    "0.30",
    "3e-1",
    "2147483648",
    "9007199254740992",
    "9007199254740993",
    "9007199254740994.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e15",
    "1e16",
    "1e20",
    "123456789.125",
    "-2.5e3",
    "5e-324",
    "255",
    "256",
    "65536.0",
    "1e-7",
    "1e22",
];

#[test]
fn exact_numbers_agree_with_serde_json() {
    let bounds = [
        json!(0),
        json!(1),
        json!(-1),
        json!(0.1),
        json!(100),
        json!(1.5),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e20),
        json!(f64::MAX),
        json!(9_007_199_254_740_992_u64),
        json!(9_007_199_254_740_993_u64),
    ];
    let divisors = [
        json!(1),
        json!(2),
        json!(3),
        json!(0.1),
        json!(0.01),
        json!(1.5),
        json!(5),
        json!(1e10),
        json!(1e-7),
        json!(4096),
    ];
    let mut schemas = vec![
        json!({"type": "integer"}),
        json!({"type": "number"}),
        json!({"type": ["integer", "null"]}),
    ];
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "const"] {
        schemas.extend(bounds.iter().map(|bound| json!({keyword: bound})));
    }
    schemas.extend(bounds.iter().map(|bound| json!({"enum": [bound, "x"]})));
    schemas.extend(bounds.iter().map(|bound| json!({"enum": [bound, 255, 256]})));
    schemas.extend(divisors.iter().map(|divisor| json!({"multipleOf": divisor})));
    for (draft, engine) in [
        (Draft::Draft202012, jsonschema::Draft::Draft202012),
        (Draft::Draft4, jsonschema::Draft::Draft4),
    ] {
        for schema in &schemas {
            if draft == Draft::Draft4
                && ["exclusiveMinimum", "exclusiveMaximum"]
                    .iter()
                    .any(|name| schema.get(name).is_some())
            {
                continue;
            }
            let own = Schema::builder().draft(draft).build(schema).unwrap();
            let on_values = jsonschema::options().with_draft(engine).build(schema).unwrap();
            for document in HELD {
                // serde_json makes -0 of it, which is written with a point.
                if (draft, document) == (Draft::Draft4, "-0") {
                    continue;
                }
                let value: Value = serde_json::from_str(document).unwrap();
                assert_eq!(
                    accepts(&own, document),
                    on_values.is_valid(&value),
                    "{schema} {document}"
                );
            }
        }
    }
}
