use super::*;
use crate::tap::document::PartialUsage;

const DOCUMENTS: [&str; 9] = [
    r#"{"id":"a","created":17,"choices":[{"index":0,"message":{"role":"assistant","content":"a\n\"usage\":{\"prompt_tokens\":1} \u00e9","tool_calls":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":3}}}"#,
    r#"{"object":"list","data":[{"embedding":[0.25,-1.5e-3,0,-7,1E2],"index":0},{"embedding":[]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#,
    r#"{"output":[{"type":"message","content":[{"text":"usage"}]}],"usage":{"input_tokens":4,"input_tokens_details":{"cached_tokens":1},"output_tokens":6}}"#,
    r#"{"output":{"choices":[{"a":{}}],"usage":{"prompt_tokens":2}},"usage":"none","details":[1]}"#,
    r#"[{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":6,"prefill":[{"id":1},{"id":2,"a":[true,false]}]}}]"#,
    r#"[{"usage":{"prompt_tokens":1}},{"a":[[],{}],"usage":{"prompt_tokens":2}}]"#,
    r#"{ "a": [ 1, { "b" : "c" } ], "usage": {"tokens":{"input_tokens":4},"billed_units":{"a":{"b":[]}}} }"#,
    r#"{"usage":{"prompt_tokens":4},"model":"m","response":"a","eval_count":6,"usage":{"a":{"total_tokens":1}}}"#,
    r#"{"timings":{"cache_n":2,"a":[]},"message":{"usage":{"input_tokens":3,"meta":{"tokens":{"input_tokens":9}}},"content":[{"a":1}]}}"#,
];

/// Returns the usage of a document in two pieces, if it is complete.
fn usage(wanted: WantedFacts, document: &[u8], cut: usize) -> Option<Option<PartialUsage>> {
    let mut scanner = JsonScanner::collecting(wanted);
    let (start, end) = document.split_at(cut);
    scanner.feed(start);
    scanner.feed(end);
    scanner.finish().map(|facts| facts.usage())
}

#[track_caller]
fn assert_same(document: &[u8], cut: usize) {
    let all = usage(WantedFacts::All, document, 0);
    let read = usage(WantedFacts::Usage, document, cut);
    assert_eq!(read, all, "{} cut at {cut}", String::from_utf8_lossy(document));
}

#[test]
fn usage_is_the_same_whatever_else_is_read() {
    for document in DOCUMENTS {
        assert!(usage(WantedFacts::All, document.as_bytes(), 0).is_some(), "{document}");
        for cut in 0..document.len() {
            assert_same(document.as_bytes(), cut);
        }
        for at in 0..document.len() {
            for other in *b"\"\\{}[]:, \n\x01nt0-1.eEu" {
                let mut changed = document.as_bytes().to_vec();
                changed[at] = other;
                for cut in [0, at, at + 1, document.len() / 2] {
                    assert_same(&changed, cut);
                }
            }
        }
    }
}

#[test]
fn depth_is_bounded_in_an_unread_value() {
    for (arrays, complete) in [(127, true), (128, false)] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            // The innermost level is empty, or holds an element.
            for inside in ["[]", "{}", "[1]"] {
                let (open, close) = (open.repeat(arrays - 1), close.repeat(arrays - 1));
                let document =
                    format!("{{\"x\":{open}{inside}{close},\"usage\":{{\"total_tokens\":1}}}}");
                let read = usage(WantedFacts::Usage, document.as_bytes(), 0);
                assert_eq!(read.is_some(), complete, "{document}");
                for cut in [0, 100, document.len() / 2] {
                    assert_same(document.as_bytes(), cut);
                }
            }
        }
    }
}
