use crate::payload::{
    Document, JsonFault, Literal, Pointer,
    json::parse::string::{characters, unescape, work},
};

/// An object of `count` members whose names `name` writes.
fn object(count: usize, name: impl Fn(usize) -> String) -> String {
    let members: Vec<String> = (0..count).map(|at| format!("\"{}\":{at}", name(at))).collect();
    format!("{{{}}}", members.join(","))
}

/// The bytes of names that `run` decodes, hashes and compares.
fn work_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = work();
    let result = run();
    (result, work() - before)
}

/// Makes the name of a number.
type Namer = fn(usize) -> String;

/// Names that are made to be slow to tell apart.
fn slow_names() -> Vec<(&'static str, Namer)> {
    vec![
        ("plain", |at| format!("name{at:06}")),
        ("escaped", |at| format!("\\u0061{at:06}")),
        ("escaped throughout", |at| {
            format!("{at:06}").bytes().map(|byte| format!("\\u{byte:04x}")).collect()
        }),
        ("alike but for their case", |at| {
            let bit = |bit: usize| if at >> bit & 1 == 0 { 'a' } else { 'A' };
            (0..20).map(bit).collect()
        }),
        ("beyond ASCII", |at| format!("\u{17f}\u{212a}\u{df}{at:06}")),
        ("of a long common part", |at| format!("{}{at:06}", "x".repeat(200))),
    ]
}

#[test]
fn names_are_parsed_in_linear_work() {
    for (what, name) in slow_names() {
        for count in [17, 1_000, 8_000] {
            let text = object(count, name);
            let (document, work) = work_of(|| Document::parse(text.clone()).unwrap());
            assert!(work <= 2 * text.len(), "{what}: {work} for {}", text.len());

            // Look-ups do not pass over the names again.
            let root = document.root();
            let (found, work) = work_of(|| {
                let here = unescape(&name(count / 2)).into_owned();
                let found = root.get(&here).and_then(|value| value.as_u64());
                assert!(root.get("absent").is_none());
                assert!(root.pointer("/absent/0").is_none());
                found
            });
            assert_eq!(found, Some(count as u64 / 2), "{what}");
            assert!(work <= 20 * name(0).len() + 200, "{what}: {work}");
        }
    }
}

#[test]
fn edits_of_a_wide_object_use_its_index() {
    for (what, name) in slow_names() {
        let document = Document::parse(object(8_000, name)).unwrap();
        let pointers: Vec<Pointer> =
            ["/max_tokens", "/n", "/stream_options/include_usage", "/user"]
                .map(|pointer| pointer.parse().unwrap())
                .into();
        let value = Literal::from(1);
        let ((), work) = work_of(|| {
            let mut edits = document.edit();
            for pointer in pointers.iter().cycle().take(100) {
                assert!(edits.get(pointer).unwrap().is_none());
            }
            for pointer in &pointers {
                edits.set(pointer, &value).unwrap();
            }
            assert!(edits.finish().is_some());
        });
        assert!(work <= 10_000, "{what}: {work}");
    }
}

#[test]
fn names_of_small_objects_are_compared_in_place() {
    // As many members as are compared in place, all escaped, all alike up to their ends.
    let one = object(16, |at| format!("\\u0061\\u0061\\u0061{at:02}"));
    let text = format!("[{}]", vec![one; 200].join(","));
    let (document, work) = work_of(|| Document::parse(text.clone()).unwrap());
    assert_eq!(document.value_count(), 1 + 200 * 33);
    assert!(work <= text.len(), "{work} for {}", text.len());
}

#[test]
fn earliest_duplicate_name_is_reported() {
    let is_second = |text: &str, position: usize| {
        let malformed = Document::parse(text.to_owned()).unwrap_err();
        assert_eq!(
            (malformed.fault, malformed.position),
            (JsonFault::DuplicateName, position as u64)
        );
    };
    is_second(r#"{"a":1,"b":2,"\u0062":3,"a":4}"#, 13);
    is_second(r#"{"\u0061":1,"b":2,"a":3}"#, 18);
    for (what, name) in slow_names() {
        for count in [18, 500] {
            // The last two names come a second time, escaped.
            let text = object(count, |at| match count - at {
                1 | 2 => characters(&name(at - 10)).map(escaped).collect(),
                _ => name(at),
            });
            let names: Vec<_> = text.match_indices("\":").map(|(end, _)| end).collect();
            let end = names[count - 2];
            let start = text[..end].rfind('"').unwrap();
            let malformed = Document::parse(text.clone()).unwrap_err();
            assert_eq!(malformed.fault, JsonFault::DuplicateName, "{what}");
            assert_eq!(malformed.position, start as u64, "{what} {text}");
        }
    }
}

#[test]
fn duplicate_name_is_found_at_each_depth() {
    for (members, duplicate) in [
        (r#""a":1,"b":2,"a":3"#, true),
        (r#""a":{"b":1},"b":2,"c":[{"a":1},{"a":2}]"#, false),
        (r#""a":{"a":{"a":[]}},"b":{"a":{}},"a":2"#, true),
        (r#""a":1,"\u0061":2"#, true),
        (r#""\u0061":1,"b":[{"a":2}],"a":3"#, true),
        (r#""\u0061":1,"b":[{"a":2}],"A":3"#, false),
    ] {
        for depth in 0..12 {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let (open, close) = (open.repeat(depth), close.repeat(depth));
                let text = format!("{open}{{{members}}}{close}");
                let parsed = Document::parse(text.clone()).map_err(|malformed| malformed.fault);
                assert_eq!(parsed.err(), duplicate.then_some(JsonFault::DuplicateName), "{text}");
            }
        }
    }
}

#[test]
fn names_that_share_a_mark_are_told_apart() {
    for count in 2..=16 {
        let text = object(count, |at| format!("x{at}"));
        assert_eq!(Document::parse(text).unwrap().root().len(), count);
    }
}

fn escaped(char: char) -> String {
    let mut units = [0; 2];
    char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[test]
fn nested_wide_objects_are_each_indexed() {
    let inner = |at: usize| object(20, |name| format!("in{at}-{name}"));
    let members: Vec<_> = (0..30).map(|at| format!("\"out{at}\":{}", inner(at))).collect();
    let document = Document::parse(format!("{{{}}}", members.join(","))).unwrap();
    for at in 0..30 {
        let value = document.root().pointer(&format!("/out{at}/in{at}-7")).unwrap();
        assert_eq!(value.as_u64(), Some(7));
        assert!(document.root().pointer(&format!("/out{at}/in{}-7", at + 1)).is_none());
    }
    // A copy has the same index.
    let copy = document.clone();
    for one in [&document, &copy] {
        assert!(one.root().pointer("/out3/in3-19").is_some());
    }
}

#[test]
fn case_variants_are_found_in_wide_objects() {
    let twin = object(40, |at| if at == 31 { "Max_Toke\\u006es".into() } else { format!("x{at}") });
    let document = Document::parse(twin).unwrap();
    let pointer: Pointer = "/max_tokens".parse().unwrap();
    assert!(document.edit().get(&pointer).is_err());
    let other: Pointer = "/max_token".parse().unwrap();
    assert!(document.edit().get(&other).unwrap().is_none());
}
