//! Comparison with a full parse.

use serde_json::Value;

use super::*;

/// Returns the usage by parsing with `serde_json`.
fn parsed(document: &[u8]) -> Option<Tokens> {
    let mut root: Value = serde_json::from_slice(document).ok()?;
    if let Value::Array(elements) = &mut root {
        root = if elements.len() == 1 { elements.remove(0) } else { return None };
    }
    root.as_object()?;
    // Of the generated numbers only `12.0` has a fraction of zero.
    let twelve = |value: &Value| (value.as_f64() == Some(12.0)).then_some(12);
    let whole = |value: &Value| value.as_u64().or_else(|| twelve(value));
    let counts = |object: &Value, names: [&str; 5]| {
        let [prompt, completion, total, input, output] = names.map(|name| whole(&object[name]));
        let counts = (prompt.or(input), completion.or(output), total);
        (counts != (None, None, None)).then_some(counts)
    };
    let usage =
        ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"];
    counts(&root["usage"], usage)
        .or_else(|| counts(&root["response"]["usage"], usage))
        .or_else(|| counts(&root["details"], ["input_length", "generated_tokens", "-", "-", "-"]))
}

/// Escaped contents of strings: known names, and text that looks like the end of a string.
fn text() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "usage",
        r"\u0075sage",
        "details",
        "response",
        "choices",
        "prompt_tokens",
        r"prompt\u005ftokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "input_length",
        "generated_tokens",
        "generated_text",
        "error",
        "type",
        "",
    ]);
    let hostile = prop::collection::vec(
        prop::sample::select(vec![
            r#"\""#,
            r"\\",
            r"\u0022",
            r"\u005C",
            r"\/",
            r"\n",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            " ",
            "usage",
            "prompt_tokens",
            "7",
            "e",
            "'",
        ]),
        0..8,
    );
    prop_oneof![6 => names.prop_map(str::to_owned), 1 => hostile.prop_map(|parts| parts.concat())]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")]
}

fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => prop::sample::select(vec![
            "0", "7", "123", "1234567", "-3", "-0", "1.5", "12.0", "1e3", "2E-1",
            "1.5e+10", "null", "true", "false", "{}", "[]",
        ])
        .prop_map(str::to_owned),
        1 => text().prop_map(|text| format!("\"{text}\"")),
    ];
    scalar.prop_recursive(5, 48, 6, |inner| {
        let elements = prop::collection::vec((space(), inner.clone()), 0..4).prop_map(|elements| {
            let elements: Vec<String> = elements
                .into_iter()
                .map(|(space, value)| format!("{space}{value}{space}"))
                .collect();
            format!("[{}]", elements.join(","))
        });
        let members = prop::collection::vec((space(), text(), inner), 0..6).prop_map(|members| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(space, name, value)| {
                    format!("{space}\"{name}\"{space}:{space}{value}{space}")
                })
                .collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![1 => elements, 4 => members]
    })
}

/// Documents that have usage more often than random ones.
fn response() -> impl Strategy<Value = String> {
    let usage = prop::collection::vec((text(), document()), 0..4).prop_map(|members| {
        let members: String =
            members.into_iter().map(|(name, value)| format!("\"{name}\":{value},")).collect();
        format!("{{{members}\"prompt_tokens\":5}}")
    });
    let holder = prop::sample::select(vec!["\"usage\"", "\"details\"", "\"response\""]);
    let built = (document(), holder, usage, document(), any::<bool>()).prop_map(
        |(before, holder, usage, after, array)| {
            let usage =
                if holder == "\"response\"" { format!("{{\"usage\":{usage}}}") } else { usage };
            let object = format!("{{\"a\":{before},{holder}:{usage},\"b\":{after}}}");
            if array { format!("[{object}]") } else { object }
        },
    );
    prop_oneof![1 => document(), 1 => built]
}

fn scanned(document: &[u8], size: usize) -> Option<Tokens> {
    let chunks: Vec<&[u8]> = document.chunks(size).collect();
    run_to(&[JSON], &chunks, BodyEnd::Complete).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn usage_equals_that_of_a_full_parse(document in response(), size in 1_usize..40) {
        prop_assert!(serde_json::from_str::<Value>(&document).is_ok(), "{}", document);
        prop_assert_eq!(scanned(document.as_bytes(), size), parsed(document.as_bytes()));
    }

    #[test]
    fn documents_that_a_full_parse_rejects_have_no_usage(
        document in response(),
        at in any::<prop::sample::Index>(),
        // Without `d`, because the tap accepts half a surrogate pair.
        other in prop::sample::select(b"{}[]\",:\\ \x01019.-+eEnulx".to_vec()),
        size in 1_usize..40,
    ) {
        let mut document = document.into_bytes();
        let at = at.index(document.len());
        document[at] = other;
        // `serde_json` rejects such numbers although they are valid JSON.
        prop_assume!(!serde_json::from_slice::<Value>(&document)
            .is_err_and(|error| error.to_string().contains("number out of range")));
        prop_assert_eq!(scanned(&document, size), parsed(&document));
        document.truncate(at);
        prop_assert_eq!(scanned(&document, size), parsed(&document));
    }

    #[test]
    fn any_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run_to(&[JSON], &[&bytes], BodyEnd::Complete);
        let stream = [b"data: {\"usage\":", &bytes[..], b"\n\n"].concat();
        run_to(&[EVENTS], &[&stream], BodyEnd::Error);
    }

    #[test]
    fn event_has_the_usage_of_its_document(document in response()) {
        let stream = format!("data: {}\n\n", document.replace("\r\n", "\ndata:"));
        let (usage, _) = run_to(&[EVENTS], &[stream.as_bytes()], BodyEnd::Complete);
        prop_assert_eq!(usage, parsed(document.as_bytes()));
    }
}
