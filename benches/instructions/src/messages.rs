//! The responses of the stub upstream: a completion of 990 bytes, or a stream of 50 events.

pub(crate) const EVENTS: usize = 50;
pub(crate) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
pub(crate) const STREAM_END: &[u8] = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

/// The shape of a completion of vLLM, with the text last before the finish.
pub(crate) fn completion_body() -> String {
    let start = r#"{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104}}"#;
    let text = "seven words of text, then more. ".repeat(32);
    format!("{start}{}{end}", &text[..990 - start.len() - end.len()])
}

/// The whole response with a completion.
pub(crate) fn completion() -> Vec<u8> {
    let body = completion_body();
    format!(
        "HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A chunk with one event.
pub(crate) fn event(number: usize) -> Vec<u8> {
    let text = format!(
        "data: {{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"stub\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{number:02}\"}},\"finish_reason\":{}}}]}}\n\n",
        if number + 1 == EVENTS { "\"stop\"" } else { "null" },
    );
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Returns whether a request asks for a stream.
pub(crate) fn is_streamed(request: &[u8]) -> bool {
    const MEMBER: &[u8] = br#""stream":true"#;
    request.windows(MEMBER.len()).any(|part| part == MEMBER)
}
