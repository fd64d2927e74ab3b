//! What holds of a cache whatever an upstream sends. For tests, and for fuzzing.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use serde_json::Value;
use tower_inference::{
    cache::{Cache, CacheLayer, Cacheable, Scope},
    payload::Payload,
    sse::{Decoder, Framer},
};
use tower_layer::Layer;
use tower_service::Service;

/// That what an upstream sends passes as it is, and is given again only if it is whole and no
/// error. The first bytes say how it answers, the others what.
pub fn check(data: &[u8]) {
    let script = Script::read(data);
    let upstream = Upstream { script: Arc::new(script), calls: Arc::default() };
    let script = &upstream.script;
    let layer = CacheLayer::new("fuzz", Scope::Shared).cacheable(Cacheable::always());
    let (frames, ended) = read(layer.layer(upstream.clone()), script.leaves_after);
    let sent = &script.frames[..frames.len().min(script.frames.len())];
    assert_eq!(frames, sent, "what passes is what was sent");
    let stays = script.leaves_after.is_none_or(|after| after > script.frames.len());
    assert_eq!(ended, stays && !script.breaks);

    let (again, whole) = read(layer.layer(upstream.clone()), None);
    if upstream.calls.load(SeqCst) == 1 {
        assert!(script.may_be_kept(), "{script:?}");
        assert!(whole && again.concat() == script.frames.concat());
        // Who leaves at the announced length leaves empty frames behind.
        assert!(!stays || again == script.frames);
    }
}

/// How an upstream answers.
#[derive(Debug)]
struct Script {
    status: u16,
    fields: Vec<(&'static str, String)>,
    frames: Vec<Bytes>,
    /// It fails after the last frame.
    breaks: bool,
    /// The one who asks leaves after so many frames.
    leaves_after: Option<usize>,
}

const STATUSES: [u16; 8] = [200, 200, 200, 201, 206, 400, 500, 503];
const TYPES: [&str; 4] =
    ["text/event-stream", "application/json", "application/octet-stream", "text/event-stream; a=b"];
const PARTS: [&[u8]; 24] = [
    b"data: ",
    b"data:",
    b"\n",
    b"\n\n",
    b"\r\n\r\n",
    b"[DONE]",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b": comment\n",
    b"{\"error\":{\"message\":\"x\"}}",
    b"{\"error\":null}",
    b"{\"error\":\"x\"}",
    b"{\"choices\":[{\"finish_reason\":\"stop\"}]}",
    b"{\"choices\":[{\"finish_reason\":null}]}",
    b"{\"generated_text\":\"x\"}",
    b"{\"type\":\"response.completed\"}",
    b"{\"type\":\"response.failed\"}",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\"x\"",
    b"1",
];

impl Script {
    fn read(data: &[u8]) -> Self {
        let mut bytes = data.iter().copied();
        let mut next = || bytes.next().unwrap_or_default();
        let (status, kind, length, more, end) = (next(), next(), next(), next(), next());
        let (mut frames, mut frame) = (Vec::new(), Vec::new());
        let mut take = |frame: &mut Vec<u8>| frames.push(Bytes::from(std::mem::take(frame)));
        for byte in bytes {
            match PARTS.get(usize::from(byte)) {
                Some(part) => frame.extend_from_slice(part),
                None if byte >= 0xf0 => take(&mut frame),
                None => frame.push(byte),
            }
        }
        take(&mut frame);

        let sent: usize = frames.iter().map(Bytes::len).sum();
        let mut fields = vec![("content-type", TYPES[usize::from(kind % 4)].to_owned())];
        match length % 4 {
            0 => fields.push(("content-length", sent.to_string())),
            1 => fields.push(("content-length", (sent + 1).to_string())),
            _ => {}
        }
        match more % 16 {
            1 => fields.push(("set-cookie", "a=b".to_owned())),
            2 => fields.push(("cache-control", "no-store".to_owned())),
            3 => fields.push(("vary", "x-user".to_owned())),
            4 => fields.push(("content-encoding", "gzip".to_owned())),
            _ => {}
        }
        Self {
            status: STATUSES[usize::from(status % 8)],
            fields,
            breaks: end % 4 == 1,
            leaves_after: (end % 4 == 2).then_some(usize::from(end / 4)),
            frames,
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What is kept is at least all of this.
    fn may_be_kept(&self) -> bool {
        let forbidden = ["set-cookie", "cache-control", "vary", "content-encoding"];
        let body = self.frames.concat();
        let length = self.field("content-length").map(|length| length == body.len().to_string());
        let whole = match self.field("content-type").unwrap() {
            "application/json" => {
                let value = serde_json::from_slice::<Value>(&body);
                let fails = value.as_ref().is_ok_and(|value| says(value.get("error")));
                let is_json = value.as_ref().err().is_none_or(is_out_of_range);
                !fails && (length == Some(true) || is_json)
            }
            "application/octet-stream" => length == Some(true),
            _ => ends_well(&body),
        };
        // Who leaves behind the announced length has read it all.
        let left = self.leaves_after.is_none_or(|after| {
            let read: usize = self.frames.iter().take(after).map(Bytes::len).sum();
            read == body.len()
        });
        let broken = self.breaks && length != Some(true);
        matches!(self.status, 200 | 201)
            && !forbidden.iter().any(|name| self.field(name).is_some())
            && length != Some(false)
            && !broken
            && left
            && whole
    }
}

fn says(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(_)) => false,
        Some(_) => true,
    }
}

/// JSON's numbers have no bounds (RFC 8259 section 6), and those of this parser have: it cannot tell.
fn is_out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// With an end mark, and without an error. The last event may lack its blank line.
fn ends_well(stream: &[u8]) -> bool {
    let (mut framer, mut decoder) = (Framer::new(), Decoder::new());
    let (mut ended, mut failed) = (false, false);
    for frame in framer.push(Bytes::from([stream, b"\n\n"].concat())) {
        let Some(event) = decoder.decode(&frame) else { continue };
        let value = serde_json::from_slice(event.data());
        ended |= value.as_ref().is_err_and(is_out_of_range);
        let value = match value.unwrap_or(Value::Null) {
            // An object that is alone in an array counts as by itself: TGI writes some so.
            Value::Array(mut alone) if alone.len() == 1 => alone.remove(0),
            value => value,
        };
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        failed |= event.event_type() == "error" || says(value.get("error"));
        failed |= matches!(kind, "error" | "response.failed");
        let choices = value.get("choices").and_then(Value::as_array).into_iter().flatten();
        let mut reasons = choices.map(|choice| choice.get("finish_reason"));
        ended |= event.data().trim_ascii() == b"[DONE]"
            || value.get("generated_text").is_some_and(Value::is_string)
            || kind == "response.completed"
            || reasons.any(says);
    }
    ended && !failed
}

#[derive(Clone)]
struct Upstream {
    script: Arc<Script>,
    calls: Arc<AtomicUsize>,
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Frames>;
    type Error = io::Error;
    type Future = Ready<io::Result<Response<Frames>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        self.calls.fetch_add(1, SeqCst);
        let mut response = Response::builder().status(self.script.status);
        for (name, value) in &self.script.fields {
            response = response.header(*name, value);
        }
        let frames = self.script.frames.iter().cloned().collect();
        ready(Ok(response.body(Frames { frames, breaks: self.script.breaks }).unwrap()))
    }
}

struct Frames {
    frames: VecDeque<Bytes>,
    breaks: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = self.frames.pop_front().map(|data| Ok(Frame::data(data)));
        let breaks = frame.is_none() && std::mem::take(&mut self.breaks);
        Poll::Ready(if breaks { Some(Err(io::Error::other("scripted"))) } else { frame })
    }
}

/// The frames of an answer, until its end or so many; and whether that was its end.
fn read(mut service: Cache<Upstream>, most: Option<usize>) -> (Vec<Bytes>, bool) {
    let mut cx = Context::from_waker(Waker::noop());
    let request = Request::post("/x").header("content-type", "application/json");
    let request = request.body(Payload::buffered("{}")).unwrap();
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = pin!(service.call(request));
    let Poll::Ready(Ok(answer)) = call.as_mut().poll(&mut cx) else { panic!("no answer") };
    let mut body = pin!(answer.into_body());
    let mut frames = Vec::new();
    while most.is_none_or(|most| frames.len() < most) {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Pending => panic!("there is something"),
            Poll::Ready(None) => return (frames, true),
            Poll::Ready(Some(Err(_))) => return (frames, false),
            Poll::Ready(Some(Ok(frame))) => frames.extend(frame.into_data()),
        }
    }
    (frames, false)
}
