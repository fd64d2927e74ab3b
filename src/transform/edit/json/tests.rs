use std::{ops::RangeInclusive, sync::LazyLock};

use allocation_counter::measure;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    payload::{Document, Kind},
    rejection::Refusal,
};

fn at(pointer: &str) -> Pointer {
    pointer.parse().unwrap()
}

const CHAT: &str = "/v1/chat/completions";

/// A request with a JSON body.
fn request(path: &str) -> RequestInfo<'_> {
    static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
    static PROFILE: Profile = Profile::compatible();
    RequestInfo { path, query: None, headers: &NONE, binary_bodies: false, profile: &PROFILE }
}

/// Returns the body for the upstream and whether the usage is hidden.
fn apply_at(
    path: &str,
    edits: &[JsonEdit],
    body: &str,
) -> Result<(Option<String>, bool), Rejection> {
    let edited = apply_all(edits, &Payload::buffered(body.to_owned()), request(path))?;
    let bytes = edited.bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    Ok((bytes, edited.hide_usage))
}

fn apply_to_chat(edits: &[JsonEdit], body: &str) -> Result<(Option<String>, bool), Rejection> {
    apply_at(CHAT, edits, body)
}

/// Returns the body for the upstream.
#[track_caller]
fn edited(edit: JsonEdit, body: &str) -> String {
    apply_to_chat(&[edit], body).unwrap().0.unwrap_or_else(|| body.to_owned())
}

/// Returns pointer and keyword of the violation.
#[track_caller]
fn refused(edit: JsonEdit, body: &str) -> (String, String) {
    let rejection = apply_to_chat(&[edit], body).unwrap_err();
    assert_eq!(rejection.refusal(), Refusal::InvalidPayload, "{body}");
    let [violation] = rejection.violations() else { panic!("one violation") };
    assert!(!violation.detail.is_empty());
    (violation.pointer.clone(), violation.keyword.clone().into_owned())
}

fn default(pointer: &str, value: Value) -> JsonEdit {
    JsonEdit::Default(at(pointer), value.into())
}

fn set(pointer: &str, value: Value) -> JsonEdit {
    JsonEdit::Override(at(pointer), value.into())
}

fn clamp(pointer: &str, range: RangeInclusive<i64>) -> JsonEdit {
    JsonEdit::Clamp(Clamp::new(at(pointer), range))
}

fn tokens(most: u32) -> JsonEdit {
    JsonEdit::OutputTokens(OutputTokens::new(most))
}

fn system(message: SystemMessage) -> JsonEdit {
    JsonEdit::System(SystemMessageEdit::new(message))
}

fn usage() -> JsonEdit {
    JsonEdit::IncludeUsage(IncludeUsage::new())
}

// === the body ===

#[test]
fn an_empty_body_stays_empty() {
    assert_eq!(apply_to_chat(&[set("/a", json!(1))], "").unwrap(), (None, false));
}

#[test]
fn a_streamed_body_is_rejected() {
    let payload = || Payload::streamed(http_body_util::Full::new(Bytes::from_static(b"{}")));
    let rejection = apply_all(&[usage()], &payload(), request(CHAT)).unwrap_err();
    assert_eq!(rejection.refusal(), Refusal::UnsupportedMediaType);
}

#[test]
fn a_body_that_is_not_an_object_is_rejected() {
    for body in ["[]", "[{\"model\": \"m\"}]", "1", "\"a\"", "null", "true"] {
        let here = (String::new(), "type".to_owned());
        assert_eq!(refused(default("/a", json!(1)), body), here);
        assert_eq!(refused(clamp("/a", 1..=2), body), here);
        assert_eq!(refused(tokens(5), body), here);
        assert_eq!(refused(usage(), body), here);
        assert_eq!(refused(system(SystemMessage::new("s")), body), here);
        assert_eq!(refused(JsonEdit::Aliases(ModelAliases::new([("a", "b")])), body), here);
    }
    let rejection = apply_to_chat(&[usage()], "{").unwrap_err();
    assert_eq!(rejection.refusal(), Refusal::MalformedPayload);
}

#[test]
fn an_edit_beyond_the_bounds_is_rejected() {
    let deep = (0..127).fold(json!(1), |inner, _| json!([inner]));
    assert!(apply_to_chat(&[default("/a", deep.clone())], "{}").is_ok());
    let rejection = apply_to_chat(&[default("/a/b", deep)], "{}").unwrap_err();
    assert_eq!(rejection.refusal(), Refusal::PayloadTooLarge);
    let detail = "/a/b: would have more than 128 nested arrays and objects";
    assert_eq!(rejection.detail(), detail);
}

#[test]
fn edits_run_in_order() {
    let both = |edits: [JsonEdit; 2]| apply_to_chat(&edits, r#"{"n":1}"#).unwrap().0.unwrap();
    let clamped = both([default("/max_tokens", json!(900)), clamp("/max_tokens", 1..=512)]);
    assert_eq!(clamped, r#"{"n":1,"max_tokens":512}"#);
    let defaulted = both([clamp("/max_tokens", 1..=512), default("/max_tokens", json!(900))]);
    assert_eq!(defaulted, r#"{"n":1,"max_tokens":900}"#);
    let aliases = |from: &str, to: &str| JsonEdit::Aliases(ModelAliases::new([(from, to)]));
    let twice = [set("/model", json!("a")), aliases("a", "b"), aliases("b", "c")];
    assert_eq!(apply_to_chat(&twice, "{}").unwrap().0.unwrap(), r#"{"model":"c"}"#);
}

// === clamp ===

#[test]
fn a_number_within_the_range_keeps_its_bytes() {
    for number in ["1", "4096", "4096.0", "1e3", "40.96E2", "4095.999", "1.0000", "0.4096e+4"] {
        let body = format!("{{ \"n\" :{number} }}");
        assert_eq!(apply_to_chat(&[clamp("/n", 1..=4096)], &body).unwrap().0, None, "{number}");
        assert_eq!(
            edited(tokens(4096), &format!("{{\"max_tokens\":{number}}}")).find(number),
            Some(14)
        );
    }
}

#[test]
fn a_number_outside_the_range_becomes_its_bound() {
    let huge = format!("1{}", "0".repeat(100));
    let above = [
        "4097",
        "4096.5",
        "1e4",
        "4.0961e3",
        "1e400",
        &huge,
        "9223372036854775808",
        "18446744073709551616",
        "1E+99999999999999999999",
        "4097.0000",
    ];
    for number in above {
        let body = format!("{{ \"n\" : {number}}}");
        assert_eq!(edited(clamp("/n", -5..=4096), &body), "{ \"n\" : 4096}", "{number}");
        let body = format!("{{\"max_tokens\":{number}}}");
        assert_eq!(edited(tokens(4096), &body), "{\"max_tokens\":4096}", "{number}");
    }
    let low = format!("-{huge}");
    for number in ["-6", "-5.1", "-1e400", &low, "-9223372036854775809"] {
        let body = format!("{{\"n\": {number} }}");
        assert_eq!(edited(clamp("/n", -5..=4096), &body), "{\"n\": -5 }", "{number}");
    }
    for number in ["-0", "0.0", "1e-400", "-1E-5", "-5"] {
        let body = format!("{{\"n\":{number}}}");
        assert_eq!(apply_to_chat(&[clamp("/n", -5..=4096)], &body).unwrap().0, None, "{number}");
    }
    // At the very ends, where an f64 has no single steps left.
    let whole = i64::MIN..=i64::MAX;
    assert_eq!(
        edited(clamp("/n", whole.clone()), r#"{"n":9223372036854775808}"#),
        r#"{"n":9223372036854775807}"#
    );
    assert_eq!(
        edited(clamp("/n", whole), r#"{"n":9223372036854775807}"#),
        r#"{"n":9223372036854775807}"#
    );
}

#[test]
fn a_limit_that_is_not_a_number_is_rejected() {
    for value in ["\"5\"", "true", "[5]", "{}", "\"\""] {
        let body = format!("{{\"max_tokens\":{value}}}");
        let here = ("/max_tokens".to_owned(), "type".to_owned());
        assert_eq!(refused(clamp("/max_tokens", 1..=9), &body), here, "{value}");
        assert_eq!(refused(tokens(9), &body), here, "{value}");
    }
}

#[test]
fn a_number_that_is_missing_stays_missing() {
    for body in ["{}", "{\"n\":null}", "{\"a\":{}}"] {
        assert_eq!(
            apply_to_chat(&[clamp("/n", 1..=9), clamp("/a/n", 1..=9)], body).unwrap().0,
            None
        );
    }
}

// === output tokens ===

#[test]
fn both_names_are_limited() {
    let body = r#"{"max_completion_tokens": 10, "max_tokens": 11}"#;
    assert_eq!(edited(tokens(9), body), r#"{"max_completion_tokens": 9, "max_tokens": 9}"#);
    let body = r#"{"max_completion_tokens": 10, "max_tokens": 8}"#;
    assert_eq!(edited(tokens(9), body), r#"{"max_completion_tokens": 9, "max_tokens": 8}"#);
}

#[test]
fn a_limit_of_zero_means_one_token() {
    assert_eq!(edited(tokens(0), r#"{"max_tokens": 5}"#), r#"{"max_tokens": 1}"#);
}

// === names in another case ===

#[test]
fn a_name_in_another_case_is_rejected() {
    let twin = |pointer: &str| (pointer.to_owned(), "propertyNames".to_owned());
    for body in [
        r#"{"max_tokens":5,"Max_Tokens":100000}"#,
        r#"{"MAX_TOKENS":100000,"max_tokens":5}"#,
        r#"{"max_token\u017f":100000}"#,
        r#"{"max_to\u212aens":100000}"#,
        "{\"max_to\u{212a}en\u{17f}\":100000}",
    ] {
        assert_eq!(refused(tokens(9), body), twin("/max_tokens"), "{body}");
        assert_eq!(refused(clamp("/max_tokens", 1..=9), body), twin("/max_tokens"), "{body}");
        assert_eq!(refused(set("/max_tokens", json!(1)), body), twin("/max_tokens"), "{body}");
        assert_eq!(refused(default("/max_tokens", json!(1)), body), twin("/max_tokens"), "{body}");
        assert_eq!(
            refused(JsonEdit::Remove(at("/max_tokens")), body),
            twin("/max_tokens"),
            "{body}"
        );
    }
    let aliases = || JsonEdit::Aliases(ModelAliases::new([("a", "b")]));
    assert_eq!(refused(aliases(), r#"{"model":"a","Model":"x"}"#), twin("/model"));
    assert_eq!(refused(usage(), r#"{"Stream":true}"#), twin("/stream"));
    assert_eq!(
        refused(usage(), r#"{"stream":true,"stream_options":{"Include_Usage":false}}"#),
        twin("/stream_options/include_usage")
    );
    let message = || system(SystemMessage::new("s"));
    assert_eq!(refused(message(), r#"{"messages":[],"Messages":[]}"#), twin("/messages"));
    assert_eq!(
        refused(tokens(9), r#"{"Parameters":{"max_new_tokens":100000}}"#),
        twin("/parameters")
    );
}

// === model aliases ===

#[test]
fn a_model_gets_its_name_in_the_table() {
    let table =
        || ModelAliases::new([("small", "org/a-8b"), ("big", "org/b"), ("small", "org/a-9b")]);
    let aliases = || JsonEdit::Aliases(table());
    assert_eq!(
        edited(aliases(), r#"{ "model" : "small" ,"n":1}"#),
        r#"{ "model" : "org/a-9b" ,"n":1}"#
    );
    assert_eq!(edited(aliases(), r#"{"model":"bi\u0067"}"#), r#"{"model":"org/b"}"#);
    for body in [
        r#"{"model":"Small"}"#,
        r#"{"model":"small:fast"}"#,
        r#"{"model":"org/b"}"#,
        "{}",
        r#"{"model":null}"#,
    ] {
        assert_eq!(apply_to_chat(&[aliases()], body).unwrap().0, None, "{body}");
    }

    let strict = || JsonEdit::Aliases(table().reject_others());
    assert_eq!(edited(strict(), r#"{"model":"big"}"#), r#"{"model":"org/b"}"#);
    for (body, keyword) in [
        (r#"{"model":"Small"}"#, "enum"),
        (r#"{"model":"org/b"}"#, "enum"),
        (r#"{"model":null}"#, "required"),
        ("{}", "required"),
        (r#"{"model":["big"]}"#, "type"),
    ] {
        assert_eq!(refused(strict(), body), ("/model".to_owned(), keyword.to_owned()), "{body}");
    }
    let number = refused(aliases(), r#"{"model":5}"#);
    assert_eq!(number, ("/model".to_owned(), "type".to_owned()));
}

// === system message ===

const OURS: &str = r#"{"content":"be \"kind\"","role":"system"}"#;

#[test]
fn the_system_message_is_the_first_message() {
    let message = || system(SystemMessage::new("be \"kind\""));
    let caller = r#"{"role":"system","content":"x"}"#;
    for (body, expected) in [
        (r#"{"messages":[]}"#.to_owned(), format!(r#"{{"messages":[{OURS}]}}"#)),
        (r#"{"messages": [ ] }"#.to_owned(), format!(r#"{{"messages": [{OURS} ] }}"#)),
        (
            format!(r#"{{"messages":[ {caller} ]}}"#),
            format!(r#"{{"messages":[{OURS}, {caller} ]}}"#),
        ),
    ] {
        assert_eq!(sorted(&edited(message(), &body)), sorted(&expected));
    }
    let developer = edited(system(SystemMessage::new("s").developer()), r#"{"messages":[]}"#);
    assert!(developer.contains(r#""role":"developer""#), "{developer}");
    for body in ["{}", r#"{"messages":null}"#, r#"{"messages":{}}"#, r#"{"messages":"hi"}"#] {
        assert_eq!(refused(message(), body), ("/messages".to_owned(), "type".to_owned()), "{body}");
    }
}

/// As it is, but for the order of our own message's members, which a feature of `serde_json` sets.
fn sorted(text: &str) -> String {
    text.replace(r#"{"role":"system","content":"be \"kind\""}"#, OURS)
}

#[test]
fn the_last_system_message_is_the_first_of_two() {
    let both = [system(SystemMessage::new("one")), system(SystemMessage::new("two"))];
    let text = apply_to_chat(&both, r#"{"messages":[{"role":"user","content":"hi"}]}"#)
        .unwrap()
        .0
        .unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let contents: Vec<&Value> =
        value["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, [&json!("two"), &json!("one"), &json!("hi")]);
}

#[test]
fn the_clients_system_messages_can_be_removed() {
    let message = || system(SystemMessage::new("be \"kind\"").instead_of_others());
    let user = r#"{ "role" : "user", "content": "hi" }"#;
    for (before, after) in [
        (
            format!(r#"[{{"role":"system"}}, {user} ,{{"role":"developer"}}]"#),
            format!("[{OURS},{user}]"),
        ),
        (r#"[{"role":"SYSTEM"} , {"rol\u0065":"sys\u0074em"}]"#.to_owned(), format!("[{OURS}]")),
        (r#"[{"role":"user","Role":"system"}]"#.to_owned(), format!("[{OURS}]")),
        (format!("[ {user}, 1, {user} ]"), format!("[{OURS}, {user}, 1, {user} ]")),
        ("[ ]".to_owned(), format!("[{OURS} ]")),
    ] {
        let body = format!("{{\"messages\":{before}}}");
        assert_eq!(
            sorted(&edited(message(), &body)),
            format!("{{\"messages\":{after}}}"),
            "{body}"
        );
    }
}

#[test]
fn the_clients_system_message_can_take_precedence() {
    let message = || system(SystemMessage::new("be \"kind\"").unless_others());
    for role in ["system", "developer"] {
        let body = format!(r#"{{"messages":[{{"role":"user"}},{{"role":"{role}"}}]}}"#);
        assert_eq!(apply_to_chat(&[message()], &body).unwrap().0, None);
    }
    let body = r#"{"messages":[{"role":"user"}]}"#;
    assert!(sorted(&edited(message(), body)).contains(OURS));
    assert_eq!(refused(message(), "{}"), ("/messages".to_owned(), "type".to_owned()));
}

#[test]
fn many_system_messages_are_removed_at_once() {
    let count = 100_000;
    let body = format!(r#"{{"messages":[{}{{}}]}}"#, r#"{"role":"system"},"#.repeat(count));
    let message = system(SystemMessage::new("be \"kind\"").instead_of_others());
    assert_eq!(sorted(&edited(message, &body)), format!(r#"{{"messages":[{OURS},{{}}]}}"#));
}

// === usage ===

#[test]
fn usage_is_requested_and_hidden_unless_the_client_requested_it() {
    for (body, expected) in [
        (r#"{"stream":true}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        (
            r#"{"stream":true, "stream_options" : null}"#,
            r#"{"stream":true, "stream_options" : {"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_obfuscation": false}}"#,
            r#"{"stream":true,"stream_options":{"include_obfuscation": false,"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage": false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage": true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(apply_to_chat(&[usage()], body).unwrap(), (Some(expected.to_owned()), true));
        assert_eq!(apply_to_chat(&[usage()], expected).unwrap(), (None, false));
    }
}

#[test]
fn usage_is_not_requested_without_a_stream() {
    for body in [
        "{}",
        r#"{"stream":false}"#,
        r#"{"stream":null}"#,
        r#"{"stream":false,"stream_options":5}"#,
    ] {
        assert_eq!(apply_to_chat(&[usage()], body).unwrap(), (None, false), "{body}");
    }
}

#[test]
fn an_ambiguous_stream_member_is_rejected() {
    for (body, pointer) in [
        (r#"{"stream":1}"#, "/stream"),
        (r#"{"stream":"true"}"#, "/stream"),
        (r#"{"stream":true,"stream_options":true}"#, "/stream_options"),
        (
            r#"{"stream":true,"stream_options":{"include_usage":1}}"#,
            "/stream_options/include_usage",
        ),
    ] {
        assert_eq!(refused(usage(), body), (pointer.to_owned(), "type".to_owned()), "{body}");
    }
}

// === costs ===

#[test]
fn a_typical_set_of_edits_is_written_once() {
    let edits = [
        JsonEdit::Aliases(ModelAliases::new([("small", "org/a-8b")])),
        tokens(4096),
        default("/temperature", json!(0.7)),
        usage(),
    ];
    for length in [300, 16 * 1024] {
        let prompt = "x".repeat(length);
        let count = |head: &str| {
            let body = format!(r#"{{{head},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
            let payload = Payload::buffered(body);
            payload.document().unwrap();
            let mut edited = None;
            let cost =
                measure(|| edited = Some(apply_all(&edits, &payload, request(CHAT)).unwrap()));
            (cost, edited.unwrap().bytes.map(|bytes| bytes.len()))
        };
        // The changes, their places, and the text: each bytes of it once.
        let (cost, written) = count(r#""model":"small","max_tokens":9000,"stream":true"#);
        assert!(cost.count_total <= 4, "{cost:?}");
        assert!(cost.bytes_total < written.unwrap() as u64 + 1_000, "{cost:?}");
        let (cost, written) = count(r#""model":"org/other","max_tokens":9,"temperature":0"#);
        assert_eq!((cost.count_total, written), (0, None));
    }
}

// === secrets ===

#[test]
fn debug_output_does_not_contain_prompts() {
    let message = SystemMessage::new("sesame");
    assert!(!format!("{message:?}").contains("sesame"));
    let edits = [system(message), default("/a", json!("sesame"))];
    assert!(!format!("{edits:?}").contains("sesame"));
}

// === recorded bodies ===

#[test]
fn bodies_of_real_clients_keep_other_bytes() {
    let edits = [
        JsonEdit::Aliases(ModelAliases::new([("m", "org/model")])),
        tokens(3),
        default("/temperature", json!(0.5)),
        usage(),
    ];
    let touched = ["model", "max_tokens", "max_completion_tokens", "parameters", "stream_options"];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/captures/");
    let mut edited = 0;
    for client in ["curl", "hf", "js", "openai"] {
        let text = std::fs::read_to_string(format!("{folder}{client}.json")).unwrap();
        let plans: Value = serde_json::from_str(&text).unwrap();
        let plans = plans.as_object().unwrap().values();
        for request in plans.filter_map(|plan| plan["requests"].as_array()).flatten() {
            let body = request["body_text"].as_str().unwrap_or_default();
            let Ok(before) = Document::parse(body.to_owned()) else { continue };
            if before.root().kind() != Kind::Object {
                continue;
            }
            let (after, _) = apply_to_chat(&edits, body).unwrap();
            let after = Document::parse(after.unwrap()).unwrap();
            for (name, value) in before.root().members() {
                let kept = after.root().get(&name).unwrap().raw() == value.raw();
                assert!(kept || touched.contains(&&*name), "{name} of {body}");
            }
            edited += 1;
        }
    }
    assert!(edited > 50, "{edited}");
}

// === properties ===

proptest! {
    #[test]
    fn clamped_twice_is_clamped_once(
        integer in any::<i64>(),
        digits in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        least in -1000_i64..1000,
        more in 0_i64..1000,
    ) {
        let range = least..=least + more;
        for number in [integer.to_string(), digits] {
            let body = format!("{{\"n\":{number}}}");
            let once = edited(clamp("/n", range.clone()), &body);
            prop_assert_eq!(&edited(clamp("/n", range.clone()), &once), &once);
            // As numbers are elsewhere: by their nearest `f64`.
            let (before, after): (f64, f64) = (number.parse().unwrap(), once[5..once.len() - 1].parse().unwrap());
            prop_assert_eq!(after, before.clamp(*range.start() as f64, *range.end() as f64));
            if before == after {
                prop_assert_eq!(once, body);
            }
        }
    }

    #[test]
    fn limited_twice_is_limited_once(
        members in prop::collection::btree_map(
            prop::sample::select(vec!["messages", "prompt", "input", "inputs", "max_tokens", "max_completion_tokens", "max_output_tokens", "parameters"]),
            prop::sample::select(vec!["null", "1", "20", "1e3", "{}", "{\"max_new_tokens\":7}"]),
            0..6,
        ),
        most in 1..30_u32,
    ) {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        let body = format!("{{ {} }}", members.join(" ,"));
        if let Ok((once, _)) = apply_to_chat(&[tokens(most)], &body) {
            let once = once.unwrap_or(body);
            prop_assert_eq!(apply_to_chat(&[tokens(most)], &once).unwrap().0, None);
        }
    }
}
