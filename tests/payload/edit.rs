//! Edits change only the edited bytes.

use allocation_counter::measure;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_inference::payload::{
    Document, DocumentBounds, EditFault, Edits, JsonFault, Kind, Literal, Pointer,
};

use crate::edits::check;

fn at(pointer: &str) -> Pointer {
    pointer.parse().unwrap()
}

fn literal(value: Value) -> Literal {
    value.into()
}

/// What an edit makes of a document; `None` when nothing changes.
#[track_caller]
fn edited(text: &str, edit: impl FnOnce(&mut Edits<'_>)) -> Option<String> {
    let document = Document::parse(text.to_owned()).unwrap();
    let mut edits = document.edit();
    edit(&mut edits);
    let bytes = edits.finish()?;
    Document::parse(bytes.clone()).unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

fn set(text: &str, pointer: &str, value: Value) -> Option<String> {
    let (pointer, value) = (at(pointer), literal(value));
    let document = Document::parse(text.to_owned()).unwrap();
    let mut edits = document.edit();
    edits.set(&pointer, &value).unwrap();
    edits.finish().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[track_caller]
fn remove(text: &str, pointers: &[&str]) -> String {
    let removed = edited(text, |edits| {
        for pointer in pointers {
            assert!(edits.remove(&at(pointer)).unwrap(), "{pointer}");
        }
    });
    removed.unwrap()
}

#[test]
fn value_is_replaced_in_place() {
    let text = "\t{ \"a\" : 1e400 , \"b\":[ 1.0,-0 ],\"\\u0063\":\"\\u2603\" }\n";
    for (pointer, old, new) in [
        ("/a", "1e400", "{ \"a\" : 7 ,"),
        ("/b", "[ 1.0,-0 ]", "\"b\":7,"),
        ("/b/1", "-0", "[ 1.0,7 ]"),
        ("/c", "\"\\u2603\"", "\"\\u0063\":7 }"),
    ] {
        let after = set(text, pointer, json!(7)).unwrap();
        assert_eq!(after, text.replace(old, "7"));
        assert!(after.contains(new), "{after}");
    }
    assert_eq!(set(text, "", json!(7)).unwrap(), "\t7\n");
}

#[test]
fn missing_member_is_appended_with_its_parent_objects() {
    for (before, pointer, after) in [
        ("{}", "/a", r#"{"a":7}"#),
        ("{ }", "/a", r#"{"a":7 }"#),
        (" { \"b\" : 1 \n} ", "/a", " { \"b\" : 1,\"a\":7 \n} "),
        (r#"{"b":[]}"#, "/a/b/c", r#"{"b":[],"a":{"b":{"c":7}}}"#),
        (r#"{"a":{"x":1}}"#, "/a/b/c", r#"{"a":{"x":1,"b":{"c":7}}}"#),
        (r#"{"a": null}"#, "/a/b/c", r#"{"a": {"b":{"c":7}}}"#),
        (r#"[ {"a": null}, {} ]"#, "/1/0", r#"[ {"a": null}, {"0":7} ]"#),
        ("{}", "/\"~0~1\u{1}\u{2603}", "{\"\\\"~/\\u0001\u{2603}\":7}"),
    ] {
        assert_eq!(set(before, pointer, json!(7)).unwrap(), after);
    }
}

#[test]
fn setting_the_same_text_changes_nothing() {
    let text = r#"{"a":{"b":[1,"x"]},"c":null}"#;
    for (pointer, value) in [("/a/b/1", json!("x")), ("/a/b", json!([1, "x"])), ("/c", json!(null))]
    {
        assert_eq!(set(text, pointer, value), None, "{pointer}");
    }
    // An equal number with other digits is not the same.
    assert_eq!(set("[1.0]", "/0", json!(1)).unwrap(), "[1]");
}

#[test]
fn default_replaces_only_missing_or_null() {
    let (pointer, value) = (at("/a/b"), literal(json!(7)));
    for (before, after) in [
        ("{}", r#"{"a":{"b":7}}"#),
        (r#"{"a":null}"#, r#"{"a":{"b":7}}"#),
        (r#"{"a":{}}"#, r#"{"a":{"b":7}}"#),
        (r#"{"a":{"b":null}}"#, r#"{"a":{"b":7}}"#),
        (r#"{"a":{"b":0}}"#, r#"{"a":{"b":0}}"#),
        (r#"{"a":{"b":false}}"#, r#"{"a":{"b":false}}"#),
        (r#"{"a":{"b":""}}"#, r#"{"a":{"b":""}}"#),
    ] {
        let document = Document::parse(before).unwrap();
        let mut edits = document.edit();
        assert_eq!(edits.set_default(&pointer, &value).unwrap(), before != after);
        assert!(!edits.set_default(&pointer, &value).unwrap());
        assert_eq!(edits.finish().is_some(), before != after);
        assert_eq!(set(before, "/a/b", json!(7)).unwrap_or_default(), r#"{"a":{"b":7}}"#);
    }
}

#[test]
fn removal_also_removes_one_comma() {
    let text = "{ \"a\" : 1 , \"b\" : [ 1 ,2,  3 ] ,\n \"c\":{} }";
    for (pointers, after) in [
        (&["/a"][..], "{ \"b\" : [ 1 ,2,  3 ] ,\n \"c\":{} }"),
        (&["/b"], "{ \"a\" : 1 , \"c\":{} }"),
        (&["/c"], "{ \"a\" : 1 , \"b\" : [ 1 ,2,  3 ] }"),
        (&["/a", "/b"], "{ \"c\":{} }"),
        (&["/b", "/a"], "{ \"c\":{} }"),
        (&["/c", "/b"], "{ \"a\" : 1 }"),
        (&["/a", "/c"], "{ \"b\" : [ 1 ,2,  3 ] }"),
        (&["/c", "/a", "/b"], "{  }"),
        (&["/b/0"], "{ \"a\" : 1 , \"b\" : [ 2,  3 ] ,\n \"c\":{} }"),
        (&["/b/1"], "{ \"a\" : 1 , \"b\" : [ 1 ,3 ] ,\n \"c\":{} }"),
        (&["/b/2"], "{ \"a\" : 1 , \"b\" : [ 1 ,2 ] ,\n \"c\":{} }"),
        // The second index is that of what is left.
        (&["/b/0", "/b/0"], "{ \"a\" : 1 , \"b\" : [ 3 ] ,\n \"c\":{} }"),
        (&["/b/0", "/c"], "{ \"a\" : 1 , \"b\" : [ 2,  3 ] }"),
        (&[""], "null"),
    ] {
        assert_eq!(remove(text, pointers), after, "{pointers:?}");
    }
    let nothing = edited(text, |edits| {
        for pointer in ["/d", "/a~1", "/b/3", "/c/x/y", "/b/9/x"] {
            assert!(!edits.remove(&at(pointer)).unwrap(), "{pointer}");
        }
    });
    assert_eq!(nothing, None);
}

#[test]
fn edits_see_earlier_edits() {
    let (a, b, c) = (at("/a"), at("/a/b"), at("/c"));
    let (object, seven) = (literal(json!({"b": {"x": 1}})), literal(json!(7)));
    let document = Document::parse(r#"{"a":1, "c" : [0]}"#).unwrap();
    let mut edits = document.edit();
    assert_eq!(edits.get(&b).unwrap_err().fault, EditFault::NotAnObject);
    edits.set(&a, &object).unwrap();
    assert_eq!(edits.get(&b).unwrap().unwrap().kind(), Kind::Object);
    edits.set(&b, &seven).unwrap();
    assert_eq!(edits.get(&b).unwrap().unwrap().as_u64(), Some(7));
    edits.remove(&c).unwrap();
    assert!(edits.get(&c).unwrap().is_none());
    edits.set(&c, &seven).unwrap();
    edits.remove(&b).unwrap();
    assert_eq!(edits.finish().unwrap(), r#"{"a":{},"c":7}"#);
}

#[test]
fn indexes_count_remaining_elements() {
    let (list, first, second) = (at("/l"), at("/l/0"), at("/l/1"));
    let value = literal(json!(7));
    let document = Document::parse(r#"{"l":[1,2,3]}"#).unwrap();
    let mut edits = document.edit();
    edits.remove(&first).unwrap();
    assert_eq!(edits.get(&second).unwrap().unwrap().as_u64(), Some(3));
    edits.set(&first, &value).unwrap();
    edits.insert_first(&list, &value).unwrap();
    assert_eq!(edits.get(&second).unwrap().unwrap().as_u64(), Some(7));
    assert_eq!(edits.finish().unwrap(), r#"{"l":[7,7,3]}"#);
}

#[test]
fn removed_case_variant_is_no_error() {
    let (upper, lower, value) = (at("/A"), at("/a"), literal(json!(7)));
    let document = Document::parse(r#"{"A":1}"#).unwrap();
    let mut edits = document.edit();
    assert_eq!(edits.set(&lower, &value).unwrap_err().fault, EditFault::AmbiguousName);
    edits.remove(&upper).unwrap();
    edits.set(&lower, &value).unwrap();
    assert_eq!(edits.set(&upper, &value).unwrap_err().fault, EditFault::AmbiguousName);
    assert_eq!(edits.finish().unwrap(), r#"{"a":7}"#);
}

#[test]
fn array_elements_are_prepended_and_retained() {
    let (list, seven, eight) = (at("/l"), literal(json!(7)), literal(json!(8)));
    let insert = |text: &str| {
        let document = Document::parse(text.to_owned()).unwrap();
        let mut edits = document.edit();
        edits.insert_first(&list, &seven).unwrap();
        edits.insert_first(&list, &eight).unwrap();
        assert_eq!(edits.get(&at("/l/0")).unwrap().unwrap().as_u64(), Some(8));
        edits.retain(&list, |node| node.as_u64() != Some(7)).unwrap();
        String::from_utf8(edits.finish().unwrap().to_vec()).unwrap()
    };
    assert_eq!(insert(r#"{"l":[]}"#), r#"{"l":[8]}"#);
    assert_eq!(insert(r#"{"l":[ 7 ]}"#), r#"{"l":[8 ]}"#);
    assert_eq!(insert(r#"{"l":[ 1,7 , 2 ]}"#), r#"{"l":[8,1,2 ]}"#);
    for text in ["{}", r#"{"l":{}}"#, r#"{"l":null}"#, r#"{"l":"x"}"#] {
        let document = Document::parse(text).unwrap();
        let error = document.edit().insert_first(&list, &seven).unwrap_err();
        assert_eq!((error.fault, error.pointer.as_str()), (EditFault::NotAnArray, "/l"));
        let error = document.edit().retain(&list, |_| true).unwrap_err();
        assert_eq!(error.fault, EditFault::NotAnArray);
    }
}

#[test]
fn edit_error_has_the_pointer() {
    let text = r#"{"a":{"b":"x","c":[1]},"B~":{"d/":1}}"#;
    for (pointer, fault, place) in [
        ("/a/b/x", EditFault::NotAnObject, "/a/b"),
        ("/a/b/x/y", EditFault::NotAnObject, "/a/b"),
        ("/a/c/x", EditFault::NotAnObject, "/a/c"),
        ("/a/c/-", EditFault::NotAnObject, "/a/c"),
        ("/a/c/00", EditFault::NotAnObject, "/a/c"),
        ("/a/c/0/x", EditFault::NotAnObject, "/a/c/0"),
        ("/a/c/1", EditFault::NoElement, "/a/c/1"),
        ("/a/c/1/x", EditFault::NoElement, "/a/c/1"),
        ("/A/x", EditFault::AmbiguousName, "/A"),
        ("/a/B", EditFault::AmbiguousName, "/a/B"),
        ("/b~0/x", EditFault::AmbiguousName, "/b~0"),
        ("/B~0/D~1", EditFault::AmbiguousName, "/B~0/D~1"),
    ] {
        let document = Document::parse(text).unwrap();
        let (pointer, value) = (at(pointer), literal(json!(1)));
        let error = document.edit().set(&pointer, &value).unwrap_err();
        assert_eq!((error.fault, error.pointer.as_str()), (fault, place));
        assert!(error.to_string().contains(place), "{error}");
        let removed = document.edit().remove(&pointer).map_err(|error| error.fault);
        let expected = if fault == EditFault::NoElement { Ok(false) } else { Err(fault) };
        assert_eq!(removed, expected, "{pointer}");
    }
}

#[test]
fn edits_stay_within_the_bounds() {
    let bounds = DocumentBounds::new().max_depth(2).max_values(5);
    let document = Document::parse_within(r#"{"a":{"b":1}}"#, bounds).unwrap();
    let fault = |pointer: &str, value: Value| {
        let (pointer, value) = (at(pointer), literal(value));
        let mut edits = document.edit();
        edits.set(&pointer, &value).err().map(|error| error.fault)
    };
    let (deep, rich) =
        (EditFault::Bounds(JsonFault::TooDeep(2)), EditFault::Bounds(JsonFault::TooManyValues(5)));
    assert_eq!(fault("/a/b", json!(7)), None);
    assert_eq!(fault("/a/b", json!([])), Some(deep));
    assert_eq!(fault("/a", json!([1, 2])), None);
    assert_eq!(fault("/a", json!([1, 2, 3])), Some(rich));
    assert_eq!(fault("/c", json!(1)), Some(rich));

    // What was removed makes room.
    let (a, c, value) = (at("/a"), at("/c/d"), literal(json!(1)));
    let mut edits = document.edit();
    edits.remove(&a).unwrap();
    edits.set(&c, &value).unwrap();
    assert_eq!(edits.finish().unwrap(), r#"{"c":{"d":1}}"#);
}

#[test]
fn independent_edits_are_written_in_one_pass() {
    let text = format!(
        r#"{{"model":"small","messages":[{{"content":"{}"}}],"max_tokens":9000,"stream":true}}"#,
        "x".repeat(16_000)
    );
    let document = Document::parse(text).unwrap();
    let pointers =
        ["/model", "/max_tokens", "/stream_options/include_usage", "/temperature"].map(at);
    let value = literal(json!(1));
    let edit = |rounds: usize| {
        measure(|| {
            let mut edits = document.edit();
            for _ in 0..rounds {
                for pointer in &pointers {
                    edits.set(pointer, &value).unwrap();
                }
            }
            assert!(edits.finish().is_some());
        })
    };
    // The changes, where they go, the text, and the handle to it.
    let once = edit(1);
    assert!(once.count_total <= 4, "{once:?}");
    assert!(once.bytes_max < 18_000, "{once:?}");

    let nothing = measure(|| {
        let mut edits = document.edit();
        for pointer in &pointers {
            edits.get(pointer).unwrap();
        }
        assert_eq!(edits.finish(), None);
    });
    assert_eq!(nothing.count_total, 0, "{nothing:?}");
}

#[test]
fn edits_debug_omits_the_content() {
    let document = Document::parse(r#"{"a":"sesame"}"#).unwrap();
    let (pointer, value) = (at("/a"), Literal::from("open"));
    let mut edits = document.edit();
    edits.set(&pointer, &value).unwrap();
    let shown = format!("{edits:?} {value:?}");
    assert!(!shown.contains("sesame") && !shown.contains("open"), "{shown}");
}

// === properties ===

/// A document with odd spaces, escapes and numbers, whose names are those of the edits.
fn document() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", " ", "\n\t", "\r "]);
    let leaf = prop::sample::select(vec![
        "null",
        "null",
        "true",
        "1",
        "1.50",
        "-0",
        "1e400",
        "123456789012345678901234567890",
        "\"x\"",
        "\"\\u0061\\n\u{2603}\"",
        "[]",
        "{ }",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let names = prop::sample::subsequence(
            vec![
                "\"a\"",
                "\"\\u0062\"",
                "\"A\"",
                "\"max_tokens\"",
                "\"Max_To\\u212aens\"",
                "\"0\"",
                "\"\"",
                "\"a\\/b\"",
                "\"~\\\"\"",
                "\"other\"",
            ],
            0..5,
        );
        let spaced = (space(), inner, space())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let members =
            (names.prop_shuffle(), prop::collection::vec((space(), spaced.clone(), space()), 5));
        prop_oneof![
            (space(), prop::collection::vec(spaced, 0..4)).prop_map(|(space, elements)| {
                match elements.len() {
                    0 => format!("[{space}]"),
                    _ => format!("[{}]", elements.join(",")),
                }
            }),
            (space(), members).prop_map(|(space, (names, values))| {
                let members: Vec<String> = names
                    .iter()
                    .zip(values)
                    .map(|(name, (before, value, after))| format!("{before}{name}{after}:{value}"))
                    .collect();
                if members.is_empty() {
                    format!("{{{space}}}")
                } else {
                    format!("{{{}}}", members.join(","))
                }
            }),
        ]
    })
}

/// Edits as `check` reads them, of few places, so that they meet.
fn plan() -> impl Strategy<Value = Vec<u8>> {
    // `a`, and the indices, more often than the other names.
    let name = || prop_oneof![0..10_u8, prop::sample::select(vec![0, 5, 6])];
    let place = prop::collection::vec(name(), 0..3);
    let edit = (0..5_u8, any::<prop::sample::Index>(), prop::option::of(name()), 0..11_u8);
    (prop::collection::vec(place, 1..3), prop::collection::vec(edit, 0..6)).prop_map(
        |(places, edits)| {
            let mut bytes = vec![edits.len() as u8];
            for (kind, place, more, literal) in edits {
                let mut names = place.get(&places).clone();
                names.extend(more);
                bytes.extend([kind, names.len() as u8]);
                bytes.extend(names);
                bytes.push(literal);
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn edits_match_the_model(plan in plan(), before in "[ \n]{0,2}", text in document(), after in "[ \n]{0,2}") {
        let mut data = plan;
        data.extend(format!("{before}{text}{after}").into_bytes());
        check(&data);
    }

    #[test]
    fn arbitrary_bytes_are_edited_or_rejected(data in prop::collection::vec(any::<u8>(), 0..60)) {
        check(&data);
    }
}

/// Two edits that meet, on two documents: where the search of a fuzzer may start.
const SEEDS: [&[u8]; 3] = [
    b"\x02\x00\x01\x00\x08\x02\x02\x00\x00\x00{\"a\" : 1, \"b\":[1, 2 ]}",
    b"\x03\x04\x01\x01\x00\x03\x01\x01\x03\x02\x02\x01\x05\x00{\"a\" : 1, \"b\":[1, \"x\" ]}",
    b"\x01\x01\x01\x03\x02{\"Max_To\\u212aens\":5}",
];

#[test]
fn seeds_hold() {
    for seed in SEEDS {
        check(seed);
        for at in 0..seed.len() {
            for bit in 0..8 {
                let mut mutated = seed.to_vec();
                mutated[at] ^= 1 << bit;
                check(&mutated);
            }
        }
    }
}
