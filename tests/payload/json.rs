//! Parsing of documents: accepted texts, errors with positions and reading values.

use std::{fs, ops::Range};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_inference::payload::{Document, DocumentBounds, JsonError, JsonFault, Kind, Node};

use crate::{conformance, reader};

fn rejected(text: impl Into<Bytes>) -> (JsonFault, u64) {
    let JsonError { fault: reason, position, .. } = Document::parse(text).unwrap_err();
    (reason, position)
}

fn bounded(text: impl Into<Bytes>, bounds: DocumentBounds) -> Option<(JsonFault, u64)> {
    let parsed = Document::parse_within(text, bounds);
    parsed.err().map(|malformed| (malformed.fault, malformed.position))
}

// === conformance ===

/// Accepted by the grammar, which leaves repeated names to the reader; rejected here.
const REPEATED_NAMES: [&str; 2] =
    ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

/// Left open by RFC 8259, and accepted here: a number is its digits, whatever can hold them.
const OPEN_ACCEPTED: [&str; 10] = [
    "i_number_double_huge_neg_exp.json",
    "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",
    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
];

/// Left open by RFC 8259, and rejected here, with the reason.
const OPEN_REFUSED: [(&str, JsonFault); 25] = [
    ("i_object_key_lone_2nd_surrogate.json", JsonFault::LoneSurrogate),
    ("i_string_1st_surrogate_but_2nd_missing.json", JsonFault::LoneSurrogate),
    ("i_string_1st_valid_surrogate_2nd_invalid.json", JsonFault::LoneSurrogate),
    ("i_string_UTF-16LE_with_BOM.json", JsonFault::NotUtf8),
    ("i_string_UTF-8_invalid_sequence.json", JsonFault::NotUtf8),
    ("i_string_UTF8_surrogate_U+D800.json", JsonFault::NotUtf8),
    ("i_string_incomplete_surrogate_and_escape_valid.json", JsonFault::LoneSurrogate),
    ("i_string_incomplete_surrogate_pair.json", JsonFault::LoneSurrogate),
    ("i_string_incomplete_surrogates_escape_valid.json", JsonFault::LoneSurrogate),
    ("i_string_invalid_lonely_surrogate.json", JsonFault::LoneSurrogate),
    ("i_string_invalid_surrogate.json", JsonFault::LoneSurrogate),
    ("i_string_invalid_utf-8.json", JsonFault::NotUtf8),
    ("i_string_inverted_surrogates_U+1D11E.json", JsonFault::LoneSurrogate),
    ("i_string_iso_latin_1.json", JsonFault::NotUtf8),
    ("i_string_lone_second_surrogate.json", JsonFault::LoneSurrogate),
    ("i_string_lone_utf8_continuation_byte.json", JsonFault::NotUtf8),
    ("i_string_not_in_unicode_range.json", JsonFault::NotUtf8),
    ("i_string_overlong_sequence_2_bytes.json", JsonFault::NotUtf8),
    ("i_string_overlong_sequence_6_bytes.json", JsonFault::NotUtf8),
    ("i_string_overlong_sequence_6_bytes_null.json", JsonFault::NotUtf8),
    ("i_string_truncated-utf-8.json", JsonFault::NotUtf8),
    ("i_string_utf16BE_no_BOM.json", JsonFault::NotUtf8),
    ("i_string_utf16LE_no_BOM.json", JsonFault::NotUtf8),
    ("i_structure_500_nested_arrays.json", JsonFault::TooDeep(128)),
    ("i_structure_UTF-8_BOM_empty_object.json", JsonFault::ByteOrderMark),
];

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn the_json_parsing_test_suite_is_judged_as_documented() {
    let folder = conformance::path("jsontestsuite/test_parsing");
    let mut judged = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let reason = Document::parse(fs::read(&path).unwrap()).err().map(|error| error.fault);
        let open = OPEN_REFUSED.iter().find(|(open, _)| *open == name);
        match name.split('_').next().unwrap() {
            "n" => assert!(reason.is_some(), "{name} was accepted"),
            "y" if REPEATED_NAMES.contains(&name) => {
                assert_eq!(reason, Some(JsonFault::DuplicateName), "{name}");
            }
            "i" if !OPEN_ACCEPTED.contains(&name) => {
                let (_, expected) = open.unwrap_or_else(|| panic!("no verdict on {name}"));
                assert_eq!(reason, Some(*expected), "{name}");
            }
            _ => assert_eq!(reason, None, "{name}"),
        }
        judged += 1;
    }
    assert_eq!(judged, 188 + 95 + OPEN_ACCEPTED.len() + OPEN_REFUSED.len());
}

#[test]
fn each_json_error_has_its_fault_and_position() {
    for (text, expected) in [
        ("", (JsonFault::UnexpectedEnd, 0)),
        (" ", (JsonFault::UnexpectedEnd, 1)),
        ("\u{feff}{}", (JsonFault::ByteOrderMark, 0)),
        ("[1,]", (JsonFault::ExpectedValue, 3)),
        ("[,1]", (JsonFault::ExpectedValue, 1)),
        ("[1 2]", (JsonFault::ExpectedComma, 3)),
        ("[1}", (JsonFault::ExpectedComma, 2)),
        ("[", (JsonFault::UnexpectedEnd, 1)),
        ("{\"a\":1", (JsonFault::UnexpectedEnd, 6)),
        ("{\"a\":1,}", (JsonFault::ExpectedName, 7)),
        ("{1:2}", (JsonFault::ExpectedName, 1)),
        ("{\"a\" 1}", (JsonFault::ExpectedColon, 5)),
        ("{\"a\":}", (JsonFault::ExpectedValue, 5)),
        ("nul", (JsonFault::UnexpectedEnd, 3)),
        ("nule", (JsonFault::ExpectedValue, 0)),
        ("True", (JsonFault::ExpectedValue, 0)),
        ("NaN", (JsonFault::ExpectedValue, 0)),
        ("-", (JsonFault::UnexpectedEnd, 1)),
        ("-a", (JsonFault::InvalidNumber, 1)),
        ("1.a", (JsonFault::InvalidNumber, 2)),
        ("1e+", (JsonFault::UnexpectedEnd, 3)),
        ("01", (JsonFault::TrailingData, 1)),
        ("1 2", (JsonFault::TrailingData, 2)),
        ("1\0", (JsonFault::TrailingData, 1)),
        ("\"a\nb\"", (JsonFault::ControlCharacter, 2)),
        ("\"a", (JsonFault::UnexpectedEnd, 2)),
        ("\"\\x\"", (JsonFault::InvalidEscape, 2)),
        ("\"\\u12g4\"", (JsonFault::InvalidEscape, 5)),
        ("\"\\u1\"", (JsonFault::InvalidEscape, 4)),
        ("\"\\u1", (JsonFault::UnexpectedEnd, 4)),
        ("\"a\\ud800\"", (JsonFault::LoneSurrogate, 2)),
        ("\"a\\udc00\"", (JsonFault::LoneSurrogate, 2)),
        ("\"\\ud800\\u0041\"", (JsonFault::LoneSurrogate, 1)),
        ("\"\\ud800\\", (JsonFault::UnexpectedEnd, 8)),
    ] {
        assert_eq!(rejected(text), expected, "{text:?}");
    }
    assert_eq!(rejected(&b"[\"\xff\"]"[..]), (JsonFault::NotUtf8, 2));
}

#[test]
fn control_characters_are_found_at_any_position() {
    for before in 0..40 {
        for after in [0, 40] {
            let text =
                |char: char| format!("\"{}{char}{}\"", "x".repeat(before), "y".repeat(after));
            for control in '\0'..' ' {
                let expected = (JsonFault::ControlCharacter, before as u64 + 1);
                assert_eq!(rejected(text(control)), expected, "{control:?}");
            }
            for legal in [' ', '!', '#', '[', ']', '\u{7f}', '\u{80}', '\u{9f}', 'é'] {
                assert!(Document::parse(text(legal)).is_ok(), "{legal:?}");
            }
        }
    }
}

#[test]
fn json_errors_omit_the_input() {
    let fault = Document::parse(r#"{"hf_secret": "prompt", "hf_secret": 1}"#).unwrap_err();
    assert_eq!(fault.to_string(), "duplicate member name at byte 24");
    assert!(!format!("{fault:?}").contains("hf_secret"));
    let document = Document::parse(r#"["hf_secret"]"#).unwrap();
    assert_eq!(format!("{document:?}"), "Document { bytes: 13, nodes: 2, depth: 1 }");
    assert!(!format!("{:?}", document.root().elements()).contains("hf_secret"));
}

// === bounds ===

#[test]
fn depth_is_bounded_for_arrays_and_objects() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(Document::parse(nested(128)).unwrap().depth(), 128);
    assert_eq!(rejected(nested(129)), (JsonFault::TooDeep(128), 128));
    assert_eq!(rejected(nested(100_000)), (JsonFault::TooDeep(128), 128));
    assert_eq!(rejected("[".repeat(1_000_000)), (JsonFault::TooDeep(128), 128));
    assert_eq!(rejected("{\"a\":".repeat(50_000)), (JsonFault::TooDeep(128), 128 * 5));
    assert_eq!(rejected("[{\"a\":".repeat(50_000)).0, JsonFault::TooDeep(128));
    // Side by side is not deep, and what ended does not make it less.
    assert_eq!(Document::parse("[[[]],[]]").unwrap().depth(), 3);
    assert_eq!(Document::parse(format!("[{}[]]", "[],".repeat(1_000))).unwrap().depth(), 2);

    let flat = DocumentBounds::new().max_depth(0);
    assert_eq!(bounded("1", flat), None);
    assert_eq!(bounded("[]", flat), Some((JsonFault::TooDeep(0), 0)));
}

#[test]
fn maximum_depth_fits_on_the_stack() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let bounds = DocumentBounds::new().max_depth(u32::MAX);
    let document = Document::parse_within(nested(1_024), bounds).unwrap();
    assert_eq!(bounded(nested(1_025), bounds), Some((JsonFault::TooDeep(1_024), 1_024)));
    assert!(document.to_value().unwrap().is_array());
}

#[test]
fn values_and_names_are_bounded() {
    let two = DocumentBounds::new().max_values(2);
    assert_eq!(bounded("[1]", two), None);
    assert_eq!(bounded("[1,2]", two), Some((JsonFault::TooManyValues(2), 3)));
    assert_eq!(bounded("{\"a\":1}", two), Some((JsonFault::TooManyValues(2), 5)));
    assert_eq!(
        bounded("1", DocumentBounds::new().max_values(0)),
        Some((JsonFault::TooManyValues(0), 0))
    );

    let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    let million = DocumentBounds::new().max_values(1_000_000);
    assert_eq!(bounded(zeros(999_999), million), None);
    let at = 1 + 2 * 999_999;
    assert_eq!(bounded(zeros(1_000_000), million), Some((JsonFault::TooManyValues(1_000_000), at)));
    // By default there may be as many as the bytes hold.
    assert_eq!(Document::parse(zeros(1_010_000)).unwrap().value_count(), 1_010_001);
}

// === names ===

#[test]
fn duplicate_names_are_found_in_any_spelling() {
    assert_eq!(rejected(r#"{"a":1,"a":1}"#), (JsonFault::DuplicateName, 7));
    assert_eq!(rejected(r#"{"a":1,"\u0061":1}"#), (JsonFault::DuplicateName, 7));
    assert_eq!(rejected(r#"{"\u0061":1,"\u0061":1}"#), (JsonFault::DuplicateName, 12));
    assert_eq!(rejected(r#"{"":1,"":2}"#), (JsonFault::DuplicateName, 6));
    assert_eq!(rejected(r#"[{"x":{"a":[],"b":{},"a":2}}]"#), (JsonFault::DuplicateName, 21));
    assert_eq!(rejected(r#"{"\ud83d\ude00":1,"😀":2}"#), (JsonFault::DuplicateName, 18));
    for legal in [
        r#"{"a":1,"A":1}"#,
        r#"{"a":{"a":1},"b":{"a":1}}"#,
        r#"{"é":1,"e\u0301":2}"#,
        r#"{"a":"a","b":"a"}"#,
        r#"{"a/b":1,"a\\/b":2}"#,
        // Told apart by their first byte alone.
        r#"{"xab":1,"yab":2,"zab":3}"#,
    ] {
        assert!(Document::parse(legal).is_ok(), "{legal}");
    }
}

#[test]
fn duplicate_name_is_found_among_any_number_of_names() {
    for count in [2, 3, 15, 16, 17, 18, 64, 65, 1_000, 20_000] {
        let members: Vec<String> = (0..count).map(|name| format!("\"{name}\":[{name}]")).collect();
        let all = format!("{{{}}}", members.join(","));
        assert_eq!(Document::parse(all.clone()).unwrap().root().len(), count);
        // The earliest second name is named, whichever it repeats.
        for again in [0, count / 2, count - 1] {
            let open = all.strip_suffix('}').unwrap();
            let other = (again + 1) % count;
            let twice = format!("{open},\"{again}\":0,\"{other}\":0,\"{again}\":0}}");
            assert_eq!(rejected(twice), (JsonFault::DuplicateName, all.len() as u64), "{count}");
        }
    }
}

#[test]
fn many_names_take_linear_time() {
    // 400,000 names of one length. Compared pair by pair this would take hours.
    let mut body = String::from("{");
    for name in 0..400_000 {
        body.push_str(&format!("\"{name:08}\":0,"));
    }
    body.push_str("\"00000000\":0}");
    assert_eq!(rejected(body).0, JsonFault::DuplicateName);
}

// === reading ===

#[test]
fn values_are_read_by_kind() {
    let text = r#"{"null":null,"yes":true,"no":false,"text":"a\n\"\u2603\ud83d\ude00\/\\é","plain":"é",
        "list":[1,[2,{}],"x"],"empty":[],"none":{}}"#;
    let document = Document::parse(text).unwrap();
    let root = document.root();
    let get = |name: &str| root.get(name).unwrap();

    assert_eq!((root.kind(), root.len()), (Kind::Object, 8));
    assert!(get("null").is_null() && !get("no").is_null());
    assert_eq!((get("yes").as_bool(), get("no").as_bool()), (Some(true), Some(false)));
    assert_eq!(get("null").as_bool(), None);
    assert_eq!(get("text").as_str().unwrap(), "a\n\"☃😀/\\é");
    assert_eq!(get("plain").as_str().unwrap(), "é");
    assert_eq!(get("list").as_str(), None);
    assert_eq!(get("list").kind(), Kind::Array);
    assert_eq!(get("list").raw(), br#"[1,[2,{}],"x"]"#);
    let elements = get("list").elements();
    assert_eq!(elements.len(), 3);
    let raws: Vec<&[u8]> = elements.map(Node::raw).collect();
    assert_eq!(raws, [&b"1"[..], b"[2,{}]", b"\"x\""]);
    assert!(get("empty").is_empty() && get("none").is_empty() && get("plain").is_empty());
    assert_eq!(get("list").members().len() + root.elements().len(), 0);
    let names: Vec<_> = root.members().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["null", "yes", "no", "text", "plain", "list", "empty", "none"]);
    assert!(root.get("nothing").is_none() && get("list").get("0").is_none());
    assert_eq!(&text[get("plain").span()], "\"é\"");
    assert_eq!(document.bytes(), text);
}

#[test]
fn member_is_found_by_its_decoded_name() {
    let document = Document::parse(r#"{"\u006dodel":"m","a":"model"}"#).unwrap();
    assert_eq!(document.root().get("model").unwrap().as_str().unwrap(), "m");
    assert!(document.root().get(r"\u006dodel").is_none());
}

#[test]
fn numbers_keep_their_digits() {
    let read = |text: &'static str| {
        let document = Document::parse(text).unwrap();
        let root = document.root();
        assert_eq!(root.number(), Some(text));
        (root.as_u64(), root.as_i64(), root.as_f64())
    };
    assert_eq!(read("0"), (Some(0), Some(0), Some(0.0)));
    assert_eq!(read("-7"), (None, Some(-7), Some(-7.0)));
    // Integers are integers however they are written (RFC 8259 section 6 has one kind of number).
    for (text, number) in [("1.0", 1), ("1e2", 100), ("2.56E+2", 256), ("70e-1", 7), ("0.0", 0)] {
        assert_eq!(read(text), (Some(number), Some(number as i64), Some(number as f64)), "{text}");
    }
    for (text, number) in [("-0", 0), ("-0.0", 0), ("-7.0", -7), ("-7e0", -7)] {
        assert_eq!(
            (read(text).0, read(text).1),
            (u64::try_from(number).ok(), Some(number)),
            "{text}"
        );
    }
    for text in ["1.5", "5e-1", "1e-400"] {
        assert_eq!((read(text).0, read(text).1), (None, None), "{text}");
    }
    assert_eq!(read("18446744073709551615.0").0, Some(u64::MAX));
    assert_eq!(read("1.8446744073709551616e19").0, None);
    assert_eq!(read("18446744073709551615").0, Some(u64::MAX));
    assert_eq!(read("18446744073709551616").0, None);
    assert_eq!(read("-9223372036854775808").1, Some(i64::MIN));
    assert_eq!(read("0.1000000000000000055511151231257827").2, Some(0.1));
    assert_eq!(read("1e400"), (None, None, None));
    assert_eq!(read("-1e-999").2, Some(-0.0));
    assert_eq!(Document::parse("\"1\"").unwrap().root().number(), None);
}

#[test]
fn pointers_follow_rfc_6901() {
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,
        "m~n":8,"~1":9,"list":[[],{"x":[10,11]}]}"#;
    let document = Document::parse(text).unwrap();
    let find = |pointer: &str| {
        document.root().pointer(pointer).map(|node| std::str::from_utf8(node.raw()).unwrap())
    };
    assert_eq!(find(""), Some(text));
    for (pointer, raw) in [
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/foo/1", "\"baz\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
        ("/~01", "9"),
        ("/list/1/x/1", "11"),
    ] {
        assert_eq!(find(pointer), Some(raw), "{pointer}");
    }
    for nowhere in
        ["foo", "/foo/", "/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/0/0", "/a~1", "/no"]
    {
        assert_eq!(find(nowhere), None, "{nowhere}");
    }
}

#[test]
fn value_equals_that_of_serde_json() {
    for text in [
        "null",
        "-0",
        "1.0",
        "1e6",
        "12345678901234567890123",
        "-9223372036854775809",
        r#"{"b":[1,{"c":[[],{}]},"\u0000"],"a":{"x":null,"y":[true,false]}}"#,
    ] {
        let ours = Document::parse(text).unwrap().to_value().unwrap();
        assert_eq!(ours, serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
    let document = Document::parse(r#"{"a":[1,{"b":"c"}],"d":0}"#).unwrap();
    assert_eq!(document.root().get("a").unwrap().to_value().unwrap(), json!([1, {"b": "c"}]));
}

#[test]
fn number_out_of_range_is_an_error() {
    let document = Document::parse("[1, -1e400]").unwrap();
    let fault = document.to_value().unwrap_err();
    assert_eq!((fault.fault, fault.position), (JsonFault::NumberOutOfRange, 4));
    assert_eq!(document.root().pointer("/0").unwrap().to_value().unwrap(), json!(1));
}

// === properties ===

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\\\\\"/\u{0}-\u{1f}☃😀]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Each node's span lies within its parent's, after its sibling's, and reads as its own value.
fn spans_hold(node: Node<'_>, within: Range<usize>) {
    let span = node.span();
    assert!(within.start <= span.start && span.end <= within.end);
    let alone: Value = serde_json::from_slice(node.raw()).unwrap();
    assert_eq!(alone, node.to_value().unwrap());
    let children: Vec<Node<'_>> =
        node.elements().chain(node.members().map(|(_, value)| value)).collect();
    assert_eq!(children.len(), node.len());
    let mut from = span.start + 1;
    for child in children {
        spans_hold(child, from..span.end - 1);
        from = child.span().end;
    }
}

const SEEDS: [&str; 4] = [
    r#"{"model":"m","messages":[{"role":"user","content":"hi \u2603 \ud83d\ude00 é"}],"n":1}"#,
    r#"[0,-1.5e+3,1E400,true,false,null,"",[],{},[[[{"a":{"b":[]}}]]]]"#,
    "{ \"a\" : [ 1 , 2 ] ,\r\n\t\"\\u0061b\" : \"a long run of ordinary text, then \\\\ and \\\" \" }",
    r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0,"k":1,"l":2,"m":3,"n":4,"o":5,"p":6,"q":7}"#,
];

proptest! {
    #[test]
    fn serde_json_output_is_parsed(value in any_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let document = Document::parse(text.clone()).unwrap();
        // Through text, because serde_json may read a float back one bit off.
        prop_assert_eq!(document.to_value().unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        spans_hold(document.root(), 0..text.len());
    }

    #[test]
    fn mutated_documents_agree_with_serde_json(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>(), any::<prop::sample::Index>()), 1..8),
    ) {
        const ALPHABET: &[u8] = b"{}[]:,\"\\ 0159-+.eEu/ntrfalsdc\x00\x1f\x7f\n\xc3\xa9\xed\xa0\x80\xf0\x9f";
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, edit, any, letter) in edits {
            let at = at.index(bytes.len() + 1);
            let byte = if any < 16 { any } else { ALPHABET[letter.index(ALPHABET.len())] };
            match edit {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        reader::holds(&bytes);
    }

    #[test]
    fn arbitrary_bytes_agree_with_serde_json(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        reader::holds(&bytes);
    }

    #[test]
    fn any_string_is_parsed_to_its_end(text in any::<String>(), pad in 0..40_usize) {
        let text = " ".repeat(pad) + &text;
        let written = serde_json::to_string(&[&text]).unwrap();
        let document = Document::parse(written).unwrap();
        let read = document.root().pointer("/0").unwrap();
        prop_assert_eq!(read.as_str().unwrap(), text);
    }
}

#[test]
fn truncated_documents_are_rejected() {
    for seed in SEEDS {
        for length in 0..seed.len() {
            assert!(Document::parse(seed.as_bytes()[..length].to_vec()).is_err());
        }
    }
}
