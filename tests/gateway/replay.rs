//! Requests as real clients sent them (tests/data/captures), through the gateway.

use std::{collections::BTreeSet, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;

use crate::{
    client::{bytes, json, send, slug},
    process::Gateway,
};

/// What a request is answered with.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// A completion, or a stream of chunks when the request asks for one.
    Chat,
    Embeddings,
    Models,
    /// Feature extraction: vectors.
    Features,
    /// The demo's one answer to sounds and pictures: how long they were.
    Length,
    /// Open, but the demo refuses what it does not know.
    RefusedByTheDemo(u16),
    /// Not open.
    Closed,
}

/// Method, path and expectation. Every request of the captures has its row, every row a request.
const TABLE: &[(&str, &str, Expect)] = &[
    ("POST", "/v1/chat/completions", Expect::Chat),
    ("POST", "/v1/chat/completions?r=1", Expect::Chat),
    ("POST", "/v1/completions", Expect::RefusedByTheDemo(404)),
    ("POST", "/v1/embeddings", Expect::Embeddings),
    ("GET", "/v1/models", Expect::Models),
    ("GET", "/api/models/distilbert/x", Expect::Closed),
    ("POST", "/models/gpt2/v1/completions", Expect::RefusedByTheDemo(404)),
    ("POST", "/models/gpt2", Expect::Features),
    ("POST", "/models/minilm-feature", Expect::Features),
    ("POST", "/models/distilbert-classif", Expect::Features),
    ("POST", "/models/zero-shot-bart", Expect::Features),
    ("POST", "/models/token-ner", Expect::Features),
    ("POST", "/models/diffusion", Expect::Features),
    ("POST", "/models/summar", Expect::Features),
    ("POST", "/models/fill-mask", Expect::Features),
    ("POST", "/models/sentence-similarity", Expect::RefusedByTheDemo(422)),
    ("POST", "/models/qa", Expect::RefusedByTheDemo(422)),
    ("POST", "/models/vit-image-class", Expect::Length),
    ("POST", "/models/whisper", Expect::Length),
];

/// Two megabytes that the recording does not hold. `large_uploads_pass` sends as many.
const BODY_LEFT_OUT: &str = "curl/post_2mb_expect_100";

#[tokio::test]
async fn captured_requests_pass_or_are_closed() {
    let (gateway, banner) = Gateway::demo(["--schema", "builtin"]).await;
    let mut rows_used = BTreeSet::new();
    let mut skipped = Vec::new();
    for client in ["openai", "hf", "js", "curl"] {
        for capture in captures(client) {
            let Capture { name, method, target, headers, body, .. } = &capture;
            let Some(body) = body else {
                skipped.push(name.clone());
                continue;
            };
            let row = TABLE.iter().position(|row| (row.0, row.1) == (method, target));
            let row = row.unwrap_or_else(|| panic!("{name}: {method} {target} has no row"));
            rows_used.insert(row);
            let has_token = headers.contains_key(header::AUTHORIZATION);
            let answer = send(gateway.address, capture.request(banner.token())).await;
            let expect = TABLE[row].2;
            if !has_token && !matches!(expect, Expect::Closed) {
                assert_eq!(slug(answer, StatusCode::UNAUTHORIZED).await, "missing-credentials");
                continue;
            }
            verify(name, expect, body, answer).await;
        }
    }
    assert_eq!(skipped, [BODY_LEFT_OUT]);
    assert_eq!(rows_used.len(), TABLE.len());
}

async fn verify(name: &str, expect: Expect, sent: &[u8], answer: Response<Incoming>) {
    let status = match expect {
        Expect::RefusedByTheDemo(status) => status,
        Expect::Closed => {
            assert_eq!(slug(answer, StatusCode::NOT_FOUND).await, "not-found", "{name}");
            return;
        }
        _ => 200,
    };
    assert_eq!(answer.status(), status, "{name}");
    let sent: Value = serde_json::from_slice(sent).unwrap_or_default();
    match expect {
        Expect::Chat if sent["stream"] == true => {
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream", "{name}");
            let stream = bytes(answer).await;
            let stream = str::from_utf8(&stream).unwrap();
            assert!(
                stream.starts_with("data: {") && stream.ends_with("data: [DONE]\n\n"),
                "{name}"
            );
            assert!(stream.contains("chat.completion.chunk"), "{name}");
            let with_usage = sent["stream_options"]["include_usage"] == true;
            assert_eq!(stream.contains("\"usage\":{"), with_usage, "{name}");
        }
        Expect::Chat => {
            let answer = json(answer).await;
            assert_eq!(answer["object"], "chat.completion", "{name}");
            let wrote = answer["choices"][0]["message"]["content"].as_str().unwrap();
            let limited = sent["max_tokens"].is_number();
            assert!(limited || wrote.ends_with(" hi ☃"), "{name}: {wrote}");
        }
        Expect::Embeddings => {
            let base64 = sent["encoding_format"] == "base64";
            for one in json(answer).await["data"].as_array().unwrap() {
                assert_eq!(one["embedding"].is_string(), base64, "{name}");
                assert_unit(name, &floats(&one["embedding"]));
            }
        }
        Expect::Models => assert_eq!(json(answer).await["data"][0]["id"], "demo", "{name}"),
        Expect::Features => {
            let answer = json(answer).await;
            let many = sent["inputs"].is_array();
            let vectors = if many { answer.as_array().unwrap().clone() } else { vec![answer] };
            for vector in vectors {
                assert_unit(name, &floats(&vector));
            }
        }
        Expect::Length => {
            let label = json(answer).await[0]["label"].clone();
            assert!(label.as_str().unwrap().starts_with("demo: "), "{name}: {label}");
        }
        Expect::RefusedByTheDemo(_) => {
            let message = json(answer).await["error"]["message"].clone();
            assert!(message.as_str().unwrap().contains("demo upstream"), "{name}: {message}");
        }
        Expect::Closed => {}
    }
}

#[tokio::test]
async fn large_uploads_pass() {
    let (gateway, banner) = Gateway::demo::<&str>([]).await;
    let request = Request::post("/models/vit-image-class")
        .header(header::HOST, "gateway")
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::AUTHORIZATION, format!("Bearer {}", banner.token()))
        .body(Full::from(vec![b'x'; 2_000_000]))
        .unwrap();
    let answer = json(send(gateway.address, request).await).await;
    assert_eq!(answer[0]["label"], "demo: 2000000 bytes");
}

#[tokio::test]
async fn identical_requests_get_identical_responses() {
    let (gateway, banner) = Gateway::demo::<&str>([]).await;
    for (path, body) in [
        ("/v1/chat/completions", crate::client::CHAT),
        ("/v1/embeddings", r#"{"input":["a","b"],"model":"demo"}"#),
        ("/embed", r#"{"inputs":"a"}"#),
    ] {
        let ask = || send(gateway.address, crate::client::post(path, banner.token(), body));
        let (one, two) = (ask().await, ask().await);
        assert_eq!(one.status(), StatusCode::OK, "{path}");
        if path == "/embed" {
            assert_eq!(one.headers()["x-compute-type"], "demo");
            assert_eq!(one.headers()["x-compute-characters"], "1");
        }
        assert_eq!(bytes(one).await, bytes(two).await, "{path}");
    }
}

// === captures ===

struct Capture {
    name: String,
    method: String,
    target: String,
    headers: http::HeaderMap,
    /// `None` when the recording left it out.
    body: Option<Vec<u8>>,
}

fn captures(client: &str) -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let file = fs::read_to_string(folder.join(format!("{client}.json"))).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let mut captures = Vec::new();
    for (name, capture) in file.as_object().unwrap() {
        for request in capture["requests"].as_array().unwrap() {
            let fields = request["headers"].as_array().unwrap().iter().map(|field| {
                let name: HeaderName = field[0].as_str().unwrap().parse().unwrap();
                (name, HeaderValue::from_str(field[1].as_str().unwrap()).unwrap())
            });
            let body = BASE64_STANDARD.decode(request["body_b64"].as_str().unwrap()).ok();
            captures.push(Capture {
                name: format!("{client}/{name}"),
                method: request["method"].as_str().unwrap().to_owned(),
                target: request["target"].as_str().unwrap().to_owned(),
                headers: fields.collect(),
                body,
            });
        }
    }
    captures
}

impl Capture {
    /// As it was recorded, with `token` in place of the recorded one.
    fn request(&self, token: &str) -> Request<Full<Bytes>> {
        let body = Bytes::from(self.body.clone().unwrap_or_default());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.parse().unwrap();
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        if let Some(authorization) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            *authorization = format!("Bearer {token}").parse().unwrap();
        }
        request
    }
}

/// A vector, as numbers or as the base64 of little-endian `f32`s.
fn floats(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(base64) => {
            let bytes = BASE64_STANDARD.decode(base64).unwrap();
            bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect()
        }
        numbers => serde_json::from_value(numbers.clone()).unwrap(),
    }
}

fn assert_unit(name: &str, vector: &[f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>();
    assert!(vector.len() == 8 && (length - 1.0).abs() < 1e-5, "{name}: {vector:?}");
}
