//! Prompts and completions: none unless asked for by name, then bounded.

use tower_inference::{
    access_log::{Content, Pseudonyms},
    record::GenAiConventions,
    secret::{Scrubber, Secret},
};

use super::*;

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&Secret::new("0123456789abcdef")).unwrap()
}

/// Serves a request whose prompt is read frame by frame.
fn serve(log: &Log, prompt: &[&'static [u8]], response: Response<ScriptedBody>) {
    let response = Mutex::new(Some(response));
    let service = log.layer.layer(service_fn(|request: Request<RequestBody<ScriptedBody>>| {
        let response = response.lock().unwrap().take().unwrap();
        async move {
            let _read = request.into_body().collect().await;
            Ok::<_, Infallible>(response)
        }
    }));
    let steps: Vec<_> = prompt.iter().map(|data| Step::Data(data)).collect();
    let request = Request::post("/").body(ScriptedBody::new(steps)).unwrap();
    let response = now(service.oneshot(request)).unwrap();
    let _read = now(response.into_body().collect());
}

fn streamed(parts: &[&'static [u8]]) -> Response<ScriptedBody> {
    let steps: Vec<_> = parts.iter().map(|data| Step::Data(data)).collect();
    Response::new(ScriptedBody::new(steps))
}

#[test]
fn no_format_shows_a_body_unless_asked() {
    let emf = tower_inference::access_log::Emf::new("n").unwrap();
    for format in [
        Format::json(),
        Format::api_gateway(),
        Format::open_telemetry(GenAiConventions::Latest),
        Format::common(),
        Format::combined(),
        Format::emf(emf),
    ] {
        let log = Log::format(format);
        serve(&log, &[b"a prompt"], streamed(&[b"a completion"]));
        let text = log.text();
        assert!(!text.contains("prompt\":") && !text.contains("a prompt"), "{text}");
        assert!(!text.contains("completion\":") && !text.contains("a completion"), "{text}");
    }
}

#[test]
fn a_body_is_truncated_and_says_how_much_is_cut() {
    let format = || Format::json().fields(["status"]).unwrap();
    let format = || format().prompts(Content::truncated(4)).completions(Content::truncated(9));
    let log = Log::format(format());
    serve(&log, &[b"a p", b"rompt"], streamed(&[b"data: 1\n", b"\ndata: 2\n\n"]));
    assert_eq!(
        log.record(),
        json!({
            "status": 200,
            "prompt": { "text": "a pr", "bytes": 8, "cut_bytes": 4 },
            "completion": { "text": "data: 1\n\n", "bytes": 18, "cut_bytes": 9 },
        })
    );
    // Between two characters.
    let log = Log::format(format());
    serve(&log, &["aé€".as_bytes()], streamed(&["ééééé".as_bytes()]));
    assert_eq!(log.record()["prompt"], json!({ "text": "aé", "bytes": 6, "cut_bytes": 3 }));
    assert_eq!(log.record()["completion"], json!({ "text": "éééé", "bytes": 10, "cut_bytes": 2 }));
    // Whole.
    let log = Log::format(format());
    serve(&log, &[b"hi"], streamed(&[]));
    assert_eq!(log.record()["prompt"], json!({ "text": "hi", "bytes": 2, "cut_bytes": 0 }));
    assert_eq!(log.record()["completion"], json!({ "text": "", "bytes": 0, "cut_bytes": 0 }));
}

#[test]
fn a_body_that_is_no_text_has_only_its_length() {
    let format = Format::json().completions(Content::truncated(100)).prompts(Content::truncated(9));
    let log = Log::format(format);
    let mut response = streamed(&[b"\x1f\x8b"]);
    response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    serve(&log, &[b"\xff\xd8\xff"], response);
    let record = log.record();
    assert_eq!(record["prompt"], json!({ "bytes": 3, "cut_bytes": 3 }));
    assert_eq!(record["completion"], json!({ "coding": "gzip", "bytes": 2, "cut_bytes": 2 }));
}

#[test]
fn one_of_both_is_shown_alone() {
    let log = Log::format(Format::json().prompts(Content::truncated(100)));
    serve(&log, &[b"a prompt"], streamed(&[b"a completion"]));
    let record = log.record();
    assert_eq!(record["prompt"]["text"], "a prompt");
    assert!(record.get("completion").is_none());
}

#[test]
fn two_logs_of_a_layer_show_what_each_was_asked_for() {
    let (short, long) = (Log::new(), Log::new());
    let lines =
        |log: &Log, format| tower_inference::access_log::Lines::new(log.sink.clone(), format);
    let layer = AccessLogLayer::sink(lines(&short, Format::json().prompts(Content::truncated(3))))
        .and(lines(&long, Format::json().prompts(Content::truncated(5))))
        .and(|record: &Record<'_>| assert!(record.completion().is_none()));
    let both = Log { layer, ..Log::new() };
    serve(&both, &[b"a prompt"], streamed(&[]));
    assert_eq!(short.record()["prompt"]["text"], "a p");
    assert_eq!(long.record()["prompt"]["text"], "a pro");
}

#[test]
fn a_pseudonym_is_of_the_whole_body() {
    let content = || Content::pseudonym(pseudonyms());
    for format in [Format::json(), Format::api_gateway()] {
        let log = Log::format(format.prompts(content()).completions(content()));
        serve(&log, &[b"a p", b"rompt"], streamed(&[b"data: 1\n", b"\n"]));
        let record = log.record();
        let pseudonym = |body: &[u8]| pseudonyms().content(body);
        let expected = json!({ "pseudonym": pseudonym(b"a prompt"), "bytes": 8 });
        assert_eq!(record["prompt"], expected);
        let expected = json!({ "pseudonym": pseudonym(b"data: 1\n\n"), "bytes": 9 });
        assert_eq!(record["completion"], expected);
    }
}

/// Else all prompts that were not read would look like one.
#[test]
fn a_body_that_was_not_read_to_its_end_has_no_pseudonym() {
    let content = || Content::pseudonym(pseudonyms());
    let log = Log::format(Format::json().prompts(content()).completions(content()));
    let service = log.layer.layer(service_fn(|_: Request<RequestBody<ScriptedBody>>| {
        ready(Ok::<_, Infallible>(streamed(&[b"data: 1\n", b"\n"])))
    }));
    let request = Request::post("/").body(ScriptedBody::new([Step::Data(b"a prompt")])).unwrap();
    let mut body = now(service.oneshot(request)).unwrap().into_body();
    let _first = now(body.frame()).unwrap().unwrap();
    drop(body);
    let record = log.record();
    assert_eq!(record["prompt"], json!({ "bytes": 0 }));
    assert_eq!(record["completion"], json!({ "bytes": 8 }));
}

#[test]
fn a_text_is_without_the_secrets_of_a_scrubber() {
    const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";
    let body: &'static str = Box::leak(format!("{}{TOKEN} and more", "x".repeat(300)).into());
    for max_bytes in 0..400 {
        let content = Content::truncated(max_bytes);
        let mut log = Log::format(Format::json().prompts(content));
        log.layer = log.layer.scrubber(Scrubber::new([Secret::new(TOKEN)]));
        serve(&log, &[body.as_bytes()], streamed(&[]));
        let record = log.record();
        let text = record["prompt"]["text"].as_str().unwrap_or_default();
        assert!(!text.contains("hf_"), "{text}");
        if max_bytes >= body.len() {
            assert_eq!(text, body.replace(TOKEN, "[redacted]"));
            assert_eq!(record["prompt"]["cut_bytes"], 0);
        }
    }
}

/// A token has spellings of about 250 bytes, so the texts of a short limit were empty.
#[test]
fn a_scrubber_shortens_only_a_text_whose_cut_may_divide_a_secret() {
    const TOKEN: &str = "hf_Ab3xYz09QwErTyUiOpAsDfGhJkLzXcVbNm";
    let shown = |max_bytes: usize, body: &'static str, frame: usize| {
        let content = Content::truncated(max_bytes);
        let format = Format::json().prompts(content.clone()).completions(content);
        let mut log = Log::format(format);
        log.layer = log.layer.scrubber(Scrubber::new([Secret::new(TOKEN)]));
        let frames: Vec<_> = body.as_bytes().chunks(frame).collect();
        serve(&log, &frames, streamed(&frames));
        let record = log.record();
        assert_eq!(record["prompt"], record["completion"]);
        let bytes = record["prompt"]["cut_bytes"].as_u64().unwrap();
        (record["prompt"]["text"].as_str().unwrap().to_owned(), bytes)
    };
    let plain: &'static str = "é".repeat(1_000).leak();
    for frame in [1, 7, 2_000] {
        for max_bytes in [1, 20, 200, 201, 1_000, 1_999] {
            let expected = "é".repeat(max_bytes / 2);
            let cut = 2_000 - expected.len() as u64;
            assert_eq!(shown(max_bytes, plain, frame), (expected, cut), "{max_bytes}");
        }
    }
    // In every spelling that is searched, wherever the cut is.
    let escaped: String = TOKEN.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let encoded: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for secret in [TOKEN.to_owned(), escaped, encoded] {
        let body: &'static str = format!("{}{secret}{}", "x".repeat(500), "y".repeat(1_500)).leak();
        let (start, end) = (500, 500 + secret.len());
        for max_bytes in (0..start - 260).chain(start - 3..end + 3).chain(end + 260..end + 264) {
            let (text, cut) = shown(max_bytes.max(1), body, 4_096);
            let (before, after) = (text.trim_end_matches('y'), text.len());
            let whole = before.strip_suffix("[redacted]").unwrap_or(before);
            assert!(whole.bytes().all(|byte| byte == b'x'), "{max_bytes}: {text}");
            if max_bytes < start - 260 {
                assert_eq!((after, cut), (max_bytes.max(1), (body.len() - after) as u64));
            } else if max_bytes >= end + 260 {
                assert_eq!(text.len(), max_bytes - secret.len() + "[redacted]".len());
            }
        }
    }
}

#[test]
fn what_is_kept_of_a_body_is_bounded() {
    static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let bytes = |format: Format| {
        let log = Log::format(format);
        let prompt = vec![&CHUNK[..]; 64];
        let response = streamed(&prompt);
        let before = allocation_counter::measure(|| serve(&log, &prompt, response));
        assert!(log.sink.flush());
        before.bytes_max
    };
    let shows = |content: Content| Format::json().prompts(content.clone()).completions(content);
    // `collect` in `serve` lists the frames.
    let none = bytes(Format::json());
    let some = bytes(shows(Content::truncated(10_000)));
    // Both texts, and the line of them.
    assert!(some < none + 100_000, "{some} and {none}");
    let digests = bytes(shows(Content::pseudonym(pseudonyms())));
    assert!(digests < none + 10_000, "{digests} and {none}");
}

#[test]
fn a_debug_shows_no_text() {
    let log = Log::of(|_| {
        AccessLogLayer::sink(tower_inference::access_log::Lines::new(
            Sink::new(io::sink()).unwrap(),
            Format::json().prompts(Content::truncated(100)).pseudonyms(pseudonyms()),
        ))
        .and(|record: &Record<'_>| {
            let prompt = record.prompt().unwrap();
            assert_eq!(prompt.excerpt(9).unwrap().text, "a prompt");
            let shown = format!("{record:?} {prompt:?} {:?}", prompt.excerpt(9));
            assert!(!shown.contains("a prompt"), "{shown}");
        })
    });
    serve(&log, &[b"a prompt"], streamed(&[]));
    let shown = format!("{:?}", Format::json().pseudonyms(pseudonyms()));
    assert!(!shown.contains("0123"), "{shown}");
}
