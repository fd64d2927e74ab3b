//! Events whose results must not depend on the cuts between chunks.

use super::*;

/// The longest event that the tap buffers.
const BUFFERED: usize = 64 * 1024;

/// Events with a place for text and with places where a line may end.
const EVENTS_OF_SERVERS: [&str; 14] = [
    r#"{"choices":[~{"index":0,"delta":~{"content":"@@"},"finish_reason":null}],~"usage":null}"#,
    r#"{"choices":[{"delta":{"reasoning":"@@"~,"content":"@@"}}]}"#,
    r#"{"choices":[{"delta":~{},"finish_reason":"stop"}],"note":"@@"}"#,
    r#"{"usage":{"prompt_tokens":4,~"completion_tokens":6},"note":"@@"}"#,
    r#"{"type":"content_block_delta",~"delta":{"type":"text_delta","text":"@@"}}"#,
    r#"{"type":"response.completed","response":{"status":"completed",~"output":[{"content":[{"text":"@@"}]}],"usage":{"input_tokens":3,"output_tokens":4}}}"#,
    r#"{"token":{"text":"a"},~"generated_text":null,"note":"@@"}"#,
    r#"{"token":{"text":"a"},"generated_text":"@@",~"details":{"finish_reason":"length","generated_tokens":2,"input_length":4}}"#,
    r#"{"index":0,"content":"@@",~"stop":false,"tokens_predicted":1,"tokens_evaluated":4}"#,
    r#"{"content":"@@",~"stop":true,"tokens_predicted":2,"tokens_evaluated":4}"#,
    r#"{"error":{"message":"@@",~"code":500}}"#,
    r#"{"text":~"@@"}"#,
    r#"{"note":~"@@","a" : [1,~2]}"#,
    "@@",
];

/// Other lines of an event.
const LINES: [&str; 9] = [
    ": it\"s",
    ": }",
    "id: \"",
    "event: ping",
    "event: message",
    "error: null",
    "error: \"x\"",
    "no field",
    "{\"error\":1}",
];

/// An event, its text in a length around the longest that is buffered, and its line ends.
fn event() -> impl Strategy<Value = String> {
    let document = prop_oneof![
        8 => prop::sample::select(&EVENTS_OF_SERVERS[..]),
        1 => prop::sample::select(vec!["[DONE]", "", "~", "~[DONE]", "{}", "{~}"]),
    ];
    let length = || prop_oneof![3 => 0..40_usize, 2 => BUFFERED - 300..BUFFERED + 300];
    let lines = prop::collection::vec(prop::sample::select(&LINES[..]), 0..2);
    let line_end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    let padding = prop_oneof![3 => Just(0), 1 => length()];
    (document, length(), padding, lines, line_end, any::<bool>()).prop_map(
        |(document, length, padding, lines, end, several)| {
            let text = "some words, ".repeat(length.div_ceil(12));
            let between = if several { format!("{end}data: ") } else { String::new() };
            let data = document.replace('~', &between).replace("@@", &text[..length]);
            let lines: String = lines.into_iter().map(|line| format!("{line}{end}")).collect();
            let padding = " ".repeat(padding);
            format!("{lines}data:{padding}{data}{padding}{end}{end}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn cuts_change_neither_usage_nor_end_nor_tokens(
        events in prop::collection::vec(event(), 1..4),
        end in prop::option::of(any::<prop::sample::Index>()),
        cut in any::<prop::sample::Index>(),
        size in 1_usize..70_000,
    ) {
        let stream = events.concat();
        let stream = &stream[..end.map_or(stream.len(), |end| end.index(stream.len()))];
        prop_assume!(!stream.is_empty());
        let whole = results(&[EVENTS], &[stream.as_bytes()], BodyEnd::Complete);
        let (start, rest) = stream.as_bytes().split_at(cut.index(stream.len()));
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        for chunks in [&[start, rest][..], &pieces] {
            let cut = results(&[EVENTS], chunks, BodyEnd::Complete);
            prop_assert_eq!(&cut, &whole, "{}", &stream[..stream.len().min(200)]);
        }
    }
}

/// The property above would hold if each event was read in its own way.
#[test]
fn long_event_and_event_of_several_lines_are_read_as_a_short_one() {
    let read = |text: &str, between: &str, size: usize| {
        let stream: Vec<_> = EVENTS_OF_SERVERS[..10]
            .iter()
            .map(|event| event.replace("@@", text).replace('~', between))
            .map(|event| format!(": \"\r\ndata: {event}\r\n\r\n"))
            .map(|stream| {
                run_to(
                    &[EVENTS],
                    &stream.as_bytes().chunks(size).collect::<Vec<_>>(),
                    BodyEnd::Complete,
                )
            })
            .collect();
        stream
    };
    let short = read("a", "", usize::MAX);
    let long = "a".repeat(BUFFERED);
    for (text, between, size) in [
        ("a", "\r\ndata: ", usize::MAX),
        ("a", "\r\ndata:", 7),
        (&long, "", usize::MAX),
        (&long, "", 9000),
        (&long, "\r\ndata: ", usize::MAX),
        (&long, "\r\ndata: ", 9000),
    ] {
        assert_eq!(read(text, between, size), short, "{} {between:?} {size}", text.len());
    }
}

#[test]
fn white_space_around_the_end_mark_is_left_out_at_any_length() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let spaces = " ".repeat(BUFFERED);
    for (mark, end) in [
        (format!("data:{spaces}[DONE]"), StreamEnd::Done),
        (format!("data: [DONE]{spaces}"), StreamEnd::Done),
        (format!("data:{spaces}[DO NE]"), StreamEnd::Cut),
        (format!("data: [DONE]\ndata:{spaces}"), StreamEnd::Cut),
    ] {
        let stream = format!("{text}{mark}\n\n");
        for size in [stream.len(), 5000] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let found = run_to(&[EVENTS], &chunks, BodyEnd::Complete).1;
            assert_eq!(found, Some(end), "{} in pieces of {size}", mark.trim_ascii());
        }
    }
}

#[test]
fn line_ends_of_an_event_of_an_unknown_form_count_once() {
    let long = "a".repeat(BUFFERED);
    let document = format!("{{\"a\":\"{long}\",\"bcd\":1}}");
    assert_eq!(document.len() % 4, 0);
    let long = format!("data: {}\r\n\r\n", document.replace(",\"b", ",\r\ndata:\"b"));
    for (stream, expected) in [
        ("data: {\"a\":\r\ndata: 1}\r\n\r\n", 2),
        (": x\ndata: {\ndata: }\n\n", 1),
        (&long, document.len() as u64 / 4 + 1),
    ] {
        for size in [1, 2, 7, 17, stream.len()] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let (_, _, tokens) = results(&[EVENTS], &chunks, BodyEnd::Complete);
            assert_eq!(tokens, expected, "{} in pieces of {size}", stream.len());
        }
    }
}

#[test]
fn whole_text_of_tgi_is_not_counted_at_any_length() {
    for length in [1, BUFFERED] {
        let text = "some words, ".repeat(length.div_ceil(12));
        let event = EVENTS_OF_SERVERS[7].replace("@@", &text).replace('~', "");
        let stream = format!("data: {event}\n\n");
        for size in [stream.len(), 1000] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert_eq!(results(&[EVENTS], &chunks, BodyEnd::Complete).2, 1, "{length} {size}");
        }
    }
}
