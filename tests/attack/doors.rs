//! Routes by which `--max-tokens`, `--schema` and `--token-budget` might be passed by.
//!
//! The first test fails where an open route of the example is not in the table; the others send
//! requests to every row of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request as Incoming, State},
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::{
    client::{bytes, post, send},
    process::{Gateway, unless_hung},
    size,
    stub::{self, Folder, Served},
    token::{self, Signer},
};

/// How the bodies of a route are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Payload {
    Json,
    Any,
    Streamed,
}

/// The names of the known routes, as the library lists them, with one path of each.
fn open_routes() -> impl Iterator<Item = (&'static str, String, Payload)> {
    let rows = include_str!("../../src/model/known_routes.rs").lines().filter_map(|line| {
        let (name, mode) = line.trim().strip_prefix("(\"")?.split_once("\", BodyMode::")?;
        let payload = match mode {
            "Json)," => Payload::Json,
            "Bytes)," => Payload::Any,
            "Streamed)," => Payload::Streamed,
            other => panic!("{other}"),
        };
        Some((name, payload))
    });
    rows.chain([("/v1/models", Payload::Json)]).flat_map(|(name, payload)| {
        let path = name.replace("{model}", "org/m");
        let below = name.contains('{').then(|| format!("/hf-inference{path}"));
        [Some(path), below].into_iter().flatten().map(move |path| (name, path, payload))
    })
}

/// What applies to a route.
struct Row {
    name: &'static str,
    form: Form,
}

/// The forms of bodies, as far as a caller sees the difference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Chat,
    Completion,
    Responses,
    Messages,
    Generate,
    /// Each of chat, completion and generation, instances of them, and bodies of unknown forms.
    Any,
    /// Nothing is generated, until there are `parameters`.
    Predict,
    /// JSON in, nothing generated.
    Reads(&'static str),
    /// JSON in, an image or sound out.
    Media,
    /// A form with files in it, which passes unread.
    Files,
    /// No body.
    List,
}

/// Every open route. Limited (edited), judged and charged as [`Form`] says.
const TABLE: &[Row] = &[
    row("/v1/models", Form::List),
    row("/v1/audio/speech", Form::Media),
    row("/v1/audio/transcriptions", Form::Files),
    row("/v1/audio/translations", Form::Files),
    row("/v1/chat/completions", Form::Chat),
    row("/v1/completions", Form::Completion),
    row("/v1/embeddings", Form::Reads(r#"{"input":5}"#)),
    row("/v1/images/edits", Form::Files),
    row("/v1/images/generations", Form::Media),
    row("/v1/images/variations", Form::Files),
    row("/v1/moderations", Form::Reads("")),
    row("/v1/responses", Form::Responses),
    row("/v1/responses/input_tokens", Form::Reads("")),
    row("/v1/messages", Form::Messages),
    row("/v1/messages/count_tokens", Form::Reads("")),
    row("/classify", Form::Reads("")),
    row("/completion", Form::Completion),
    row("/detokenize", Form::Reads("")),
    row("/embedding", Form::Reads(r#"{"input":5}"#)),
    row("/infill", Form::Completion),
    row("/pooling", Form::Reads("")),
    row("/score", Form::Reads("")),
    row("/v1/rerank", Form::Reads(r#"{"query":"q","documents":"a"}"#)),
    row("/v1/score", Form::Reads("")),
    row("/v2/rerank", Form::Reads(r#"{"query":"q","documents":"a"}"#)),
    row("/", Form::Any),
    row("/chat_tokenize", Form::Reads("")),
    row("/generate", Form::Generate),
    row("/generate_stream", Form::Generate),
    row("/invocations", Form::Any),
    row("/tokenize", Form::Reads("")),
    row("/vertex", Form::Any),
    row("/decode", Form::Reads("")),
    row("/embed", Form::Reads(r#"{"inputs":5}"#)),
    row("/embed_all", Form::Reads(r#"{"inputs":5}"#)),
    row("/embed_sparse", Form::Reads(r#"{"inputs":5}"#)),
    row("/embeddings", Form::Reads(r#"{"input":5}"#)),
    row("/predict", Form::Predict),
    row("/rerank", Form::Reads(r#"{"query":"q","texts":"a"}"#)),
    row("/similarity", Form::Reads(r#"{"inputs":5}"#)),
    row("/models/{model}/pipeline/feature-extraction", Form::Reads(r#"{"inputs":5}"#)),
    row("/models/{model}/pipeline/sentence-similarity", Form::Reads(r#"{"inputs":5}"#)),
    row("/models/{model}/v1/chat/completions", Form::Chat),
    row("/models/{model}/v1/completions", Form::Completion),
    row("/models/{model}/v1/embeddings", Form::Reads(r#"{"input":5}"#)),
    row("/models/{model}", Form::Any),
];

const fn row(name: &'static str, form: Form) -> Row {
    Row { name, form }
}

const MOST: u64 = 100;
const BINARY_COST: u64 = 1_000;
/// Text whose estimate is 15,000 tokens.
const LONG: usize = 60_000;
/// What that costs at least: 20 million a day grow back at about 230 a second.
const FOR_LONG: u64 = 13_500;

struct Body {
    good: Value,
    /// Where its limit is: put in where it is missing, cut where it is greater. None where nothing
    /// is put in.
    limit: Option<&'static str>,
    /// One of the same form that breaks its schema.
    bad: Option<Value>,
}

const fn body(good: Value, limit: Option<&'static str>, bad: Option<Value>) -> Body {
    Body { good, limit, bad }
}

impl Form {
    /// Bodies that generate text.
    fn generating(self) -> Vec<Body> {
        let chat = || {
            let good = json!({ "model": "m", "messages": [{ "role": "user", "content": "once" }] });
            let bad = json!({ "model": "m", "messages": [] });
            body(good, Some("/max_tokens"), Some(bad))
        };
        let completion = || {
            let bad = json!({ "model": "m", "prompt": 5 });
            body(json!({ "model": "m", "prompt": "once" }), Some("/max_tokens"), Some(bad))
        };
        let generation = || {
            let bad = json!({ "inputs": "once", "parameters": { "temperature": 0 } });
            let good = json!({ "inputs": "once" });
            body(good, Some("/parameters/max_new_tokens"), Some(bad))
        };
        match self {
            Self::Chat => vec![chat()],
            Self::Completion => vec![completion()],
            Self::Responses => vec![body(
                json!({ "model": "m", "input": "once" }),
                Some("/max_output_tokens"),
                Some(json!({ "model": "m", "input": 5 })),
            )],
            Self::Messages => {
                let good =
                    json!({ "model": "m", "messages": [{ "role": "user", "content": "once" }] });
                let bad = json!({ "model": "m", "messages": [{ "role": "user" }] });
                vec![body(good, Some("/max_tokens"), Some(bad))]
            }
            Self::Generate => vec![generation()],
            Self::Predict => vec![
                completion(),
                body(
                    json!({ "inputs": "once", "parameters": {} }),
                    Some("/parameters/max_new_tokens"),
                    Some(json!({ "inputs": 5, "parameters": {} })),
                ),
                // TEI's route with the input of another server.
                body(json!({ "input": "once" }), None, None),
            ],
            Self::Any => vec![
                chat(),
                completion(),
                generation(),
                body(
                    json!({ "instances": [{ "inputs": "once" }] }),
                    Some("/instances/0/parameters/max_new_tokens"),
                    Some(json!({ "instances": [{ "inputs": 5 }] })),
                ),
                body(
                    json!({ "instances": [{ "messages": [{ "role": "user", "content": "once" }] }] }),
                    Some("/instances/0/max_tokens"),
                    Some(json!({ "instances": [{ "messages": [] }] })),
                ),
                body(
                    json!({ "instances": ["once"] }),
                    Some("/parameters/max_new_tokens"),
                    Some(json!({ "instances": [["once"]] })),
                ),
                // Unknown forms, and a task whose output is of a length of its own.
                body(json!({ "once": "once" }), None, None),
                body(
                    json!({ "inputs": { "question": "q", "context": "once" } }),
                    None,
                    Some(json!({ "inputs": { "question": "q" } })),
                ),
            ],
            Self::Reads(_) | Self::Media | Self::Files | Self::List => Vec::new(),
        }
    }
}

/// What reached the upstream.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Bytes>>>);

impl Seen {
    fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The one body that reached it.
    #[track_caller]
    fn one(&self) -> Value {
        let all = self.take();
        let [one] = &all[..] else { panic!("{} bodies arrived", all.len()) };
        serde_json::from_slice(one).unwrap()
    }
}

async fn record(State(seen): State<Seen>, request: Incoming) -> Response {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    seen.0.lock().unwrap().push(body);
    // A response that tells no usage: nobody is refunded for what was reserved of a prompt.
    ([(header::CONTENT_TYPE, "application/json")], r#"{"ok":1}"#).into_response()
}

struct Doors {
    _folder: Folder,
    _upstream: Served,
    seen: Seen,
    gateway: Gateway,
    token: String,
}

impl Doors {
    async fn open<const N: usize>(name: &str, flags: [&str; N]) -> Self {
        let seen = Seen::default();
        let router = Router::new().fallback(record).with_state(seen.clone());
        let upstream = Served::start(router).await;
        let (folder, signer) = (Folder::new(&format!("doors-{name}")), Signer::es256());
        let gateway = stub::gateway(&folder, &upstream.url, &signer, flags).await;
        let token = signer.sign(&token::claims());
        Self { _folder: folder, _upstream: upstream, seen, gateway, token }
    }

    async fn json(&self, path: &str, body: &str) -> StatusCode {
        self.send(post(path, &self.token, body)).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> StatusCode {
        let response = send(self.gateway.address, request).await;
        let status = response.status();
        bytes(response).await;
        status
    }

    /// A request of any type, or none.
    fn typed(&self, path: &str, media_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut request = post(path, &self.token, "");
        request.headers_mut().remove(header::CONTENT_TYPE);
        if !media_type.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        }
        request.map(|_| Full::new(body.into()))
    }

    /// What a request costs, by what is left before and after it.
    async fn cost(&mut self, request: Request<Full<Bytes>>) -> u64 {
        let before = self.left().await;
        let path = request.uri().path().to_owned();
        assert_eq!(self.send(request).await, StatusCode::OK, "{path}");
        // Its record is written at its true end.
        unless_hung(self.gateway.said(r#""status":200"#)).await;
        before - self.left().await
    }

    /// What is left of the budget, by a request that costs nothing.
    async fn left(&mut self) -> u64 {
        let response = send(self.gateway.address, post("/embed", &self.token, r#"{"inputs":""}"#));
        let response = response.await;
        assert_eq!(response.status(), StatusCode::OK);
        let told = response.headers()["ratelimit"].to_str().unwrap();
        let left = told.strip_prefix(r#""tokens";r="#).and_then(|told| told.split(';').next());
        let left = left.unwrap_or_else(|| panic!("{told}")).parse().unwrap();
        bytes(response).await;
        unless_hung(self.gateway.said(r#""status":200"#)).await;
        left
    }
}

/// Puts a limit where a pointer points.
fn with_limit(good: &Value, pointer: &str, limit: impl Into<Value>) -> Value {
    let mut body = good.clone();
    let mut node = &mut body;
    for name in pointer.split('/').skip(1) {
        node = match name.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[name],
        };
    }
    *node = limit.into();
    body
}

#[test]
fn every_open_route_is_in_the_table() {
    let open: BTreeSet<_> = open_routes().map(|(name, ..)| name).collect();
    let table: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(open, table);
    assert_eq!(table.len(), TABLE.len(), "a route has two rows");
}

/// The row of each open path.
fn rows() -> impl Iterator<Item = (String, Payload, &'static Row)> {
    open_routes().map(|(name, path, payload)| {
        let row = TABLE.iter().find(|row| row.name == name);
        (path, payload, row.unwrap_or_else(|| panic!("{name} is not in the table")))
    })
}

#[tokio::test]
async fn no_route_generates_more_than_is_allowed() {
    let doors = Doors::open("limits", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        for Body { good, limit, .. } in row.form.generating() {
            let Some(limit) = limit else {
                // Passes as it is, until it asks for more.
                assert_eq!(doors.json(&path, &good.to_string()).await, StatusCode::OK, "{path}");
                assert_eq!(doors.seen.one(), good, "{path}");
                let unknown = good.get("inputs").is_none();
                for place in
                    ["/max_new_tokens", "/parameters/max_new_tokens", "/options/num_predict"]
                {
                    let within = with_limit(&good, place, MOST);
                    assert_eq!(doors.json(&path, &within.to_string()).await, StatusCode::OK);
                    assert_eq!(doors.seen.one(), within, "{path}");
                    let greedy = with_limit(&good, place, 99_999);
                    let status = doors.json(&path, &greedy.to_string()).await;
                    if unknown {
                        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {greedy}");
                        assert!(doors.seen.take().is_empty());
                    } else {
                        assert_eq!(doors.seen.one().pointer(place), Some(&json!(MOST)), "{path}");
                    }
                }
                continue;
            };
            // The honest caller.
            let honest = with_limit(&good, limit, 7);
            assert_eq!(doors.json(&path, &honest.to_string()).await, StatusCode::OK, "{path}");
            assert_eq!(doors.seen.one(), honest, "{path}");
            for greedy in [
                good.clone(),
                with_limit(&good, limit, Value::Null),
                with_limit(&good, limit, 99_999),
                with_limit(&good, limit, 1e300),
                with_limit(&good, limit, 100.5),
                // No limit, in llama.cpp.
                with_limit(&good, limit, -1),
            ] {
                let status = doors.json(&path, &greedy.to_string()).await;
                assert_eq!(status, StatusCode::OK, "{path} {greedy}");
                let arrived = doors.seen.one();
                assert_eq!(arrived.pointer(limit), Some(&json!(MOST)), "{path} {greedy}");
            }
            for wrong in [json!(-2), json!(0), json!("99999"), json!(true), json!([99_999])] {
                let wrong = with_limit(&good, limit, wrong).to_string();
                let status = doors.json(&path, &wrong).await;
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {wrong}");
                assert!(doors.seen.take().is_empty());
            }
        }
    }
}

/// A body of an unknown form is refused if it names a limit above the maximum anywhere.
#[tokio::test]
async fn no_depth_of_an_unknown_form_hides_a_limit() {
    let doors = Doors::open("depth", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Any | Form::Predict) {
            continue;
        }
        for greedy in [
            r#"{"foo":{"prompt":"once","max_tokens":9999}}"#,
            r#"{"foo":[[{"bar":{"max_new_tokens":9999}}]]}"#,
            r#"{"input":{"prompt":"once","max_tokens":9999}}"#,
            r#"{"data":[{"max_tokens":9999}]}"#,
        ] {
            let status = doors.json(&path, greedy).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {greedy}");
            assert!(doors.seen.take().is_empty(), "{path} {greedy}");
            let modest = greedy.replace("9999", "99");
            assert_eq!(doors.json(&path, &modest).await, StatusCode::OK, "{path} {modest}");
            assert_eq!(doors.seen.one().to_string().len(), modest.len(), "{path} {modest}");
        }
    }
}

#[tokio::test]
async fn a_route_that_generates_nothing_is_not_edited() {
    let doors = Doors::open("untouched", ["--max-tokens", "100"]).await;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Reads(_) | Form::Media | Form::Predict) {
            continue;
        }
        let mut body = json!({ "input": "a", "inputs": "a", "max_length": 50 });
        // At TEI's route a prompt is a completion of another server.
        if row.form != Form::Predict {
            body["prompt"] = json!("a");
        }
        assert_eq!(doors.json(&path, &body.to_string()).await, StatusCode::OK, "{path}");
        assert_eq!(doors.seen.one(), body, "{path}");
    }
}

#[tokio::test]
async fn each_body_is_judged_by_the_schema_of_its_form() {
    let doors = Doors::open("judged", ["--schema", "builtin"]).await;
    for (path, _, row) in rows() {
        for Body { good, bad, .. } in row.form.generating() {
            if row.form != Form::Predict || good.get("prompt").is_some() {
                assert_eq!(doors.json(&path, &good.to_string()).await, StatusCode::OK, "{path}");
                assert_eq!(doors.seen.one(), good);
            }
            let Some(bad) = bad else { continue };
            let status = doors.json(&path, &bad.to_string()).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {bad}");
            assert!(doors.seen.take().is_empty(), "{path} {bad}");
        }
        if let Form::Reads(bad) = row.form
            && !bad.is_empty()
        {
            let status = doors.json(&path, bad).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {bad}");
            assert!(doors.seen.take().is_empty(), "{path} {bad}");
        }
    }
}

#[tokio::test]
async fn a_schema_of_ones_own_judges_chats_wherever_they_are_sent() {
    let folder = Folder::new("doors-schema");
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": { "temperature": { "maximum": 1, "exclusiveMaximum": true } },
    });
    let file = folder.write("schema.json", &schema.to_string());
    let doors = Doors::open("own", ["--schema", &file]).await;
    let hot = r#"{"messages":[],"temperature":1}"#;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Chat | Form::Any) {
            continue;
        }
        let among = format!(r#"{{"instances":[{hot}]}}"#);
        assert_eq!(doors.json(&path, hot).await, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        if row.form == Form::Any {
            assert_eq!(doors.json(&path, &among).await, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        }
        assert!(doors.seen.take().is_empty());
        let cold = hot.replace('1', "0.9");
        assert_eq!(doors.json(&path, &cold).await, StatusCode::OK, "{path}");
        assert_eq!(doors.seen.one().to_string().len(), cold.len());
    }
}

#[tokio::test]
async fn each_request_is_charged_for_its_text_on_every_route() {
    let flags = ["--token-budget", "200M/day", "--max-tokens", "100"];
    let mut doors = Doors::open("charged", flags).await;
    let long = "x ".repeat(LONG / 2);
    for (path, _, row) in rows() {
        let mut charged: Vec<_> = row.form.generating().into_iter().map(|body| body.good).collect();
        if matches!(row.form, Form::Reads(_) | Form::Media | Form::Predict) {
            charged.push(json!({ "input": "once", "inputs": "once" }));
        }
        for (index, body) in charged.iter().enumerate() {
            let body = body.to_string().replace("once", &long);
            for _ in 0..if index == 0 { size(1, 20) } else { 1 } {
                let request = post(&path, &doors.token, &body);
                let cost = doors.cost(request).await;
                assert!(cost >= FOR_LONG, "{path}: {cost} tokens for {} bytes", body.len());
            }
        }
        doors.seen.take();
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_has_its_price() {
    let mut doors = Doors::open("binary", ["--token-budget", "1M/day"]).await;
    for (path, payload, _) in rows() {
        if payload != Payload::Json {
            let request = doors.typed(&path, "audio/flac", vec![0xff; LONG]);
            let cost = doors.cost(request).await;
            // What grows back in the meantime is about twelve tokens a second.
            assert!((BINARY_COST - 100..=BINARY_COST).contains(&cost), "{path}: {cost}");
        }
        if payload == Payload::Streamed {
            // JSON that nobody reads has none.
            let status = doors.json(&path, "{}").await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        }
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_charged_by_its_bytes() {
    let mut doors = Doors::open("text", ["--token-budget", "20M/day"]).await;
    let text = "once upon a time ".repeat(LONG / 17);
    for (path, media_type) in [
        ("/", "text/plain"),
        ("/models/org/m", "audio/flac"),
        ("/models/org/m", ""),
        ("/", "application/x-www-form-urlencoded"),
        ("/", "multipart/form-data; boundary=x"),
    ] {
        let request = doors.typed(path, media_type, text.clone());
        let cost = doors.cost(request).await;
        assert!(cost >= FOR_LONG, "{path} {media_type}: {cost}");
    }
}

#[tokio::test]
async fn each_requested_choice_is_reserved() {
    // 5,000 hold a request of fifty answers of 100 tokens, but for its prompt.
    let doors = Doors::open("answers", ["--token-budget", "5000/day", "--max-tokens", "100"]).await;
    for (path, body) in [
        ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"a"}],"n":50}"#),
        ("/v1/completions", r#"{"prompt":"a","best_of":50,"n":1}"#),
        ("/generate", r#"{"inputs":"a","parameters":{"best_of":50}}"#),
        ("/models/org/m", r#"{"inputs":"a","parameters":{"num_return_sequences":50}}"#),
        ("/invocations", r#"{"messages":[{"role":"user","content":"a"}],"n":50.0}"#),
        ("/", r#"{"inputs":"a","n":50}"#),
    ] {
        let status = doors.json(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
    let many = format!(r#"{{"instances":[{}{{"inputs":"a"}}]}}"#, r#"{"inputs":"a"},"#.repeat(49));
    assert_eq!(doors.json("/vertex", &many).await, StatusCode::BAD_REQUEST);
    let prompts = format!(r#"{{"prompt":[{}"a"]}}"#, r#""a","#.repeat(49));
    assert_eq!(doors.json("/v1/completions", &prompts).await, StatusCode::BAD_REQUEST);
    for body in
        [r#"{"messages":[],"n":"50"}"#, r#"{"messages":[],"n":-1}"#, r#"{"messages":[],"N":50}"#]
    {
        let status = doors.json("/v1/chat/completions", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert!(doors.seen.take().is_empty());
    // The honest caller has the budget left.
    let two = r#"{"messages":[{"role":"user","content":"a"}],"n":2}"#;
    assert_eq!(doors.json("/v1/chat/completions", two).await, StatusCode::OK);
}

#[tokio::test]
async fn no_other_spelling_of_a_request_passes_by_the_limit() {
    let doors = Doors::open("spellings", ["--max-tokens", "100"]).await;
    let greedy = r#"{"inputs":"a","parameters":{"max_new_tokens":99999}}"#;
    let cut = json!({ "inputs": "a", "parameters": { "max_new_tokens": MOST } });

    // The query, which Hugging Face's toolkit takes for parameters.
    for path in ["/", "/predict", "/models/org/m", "/generate", "/embed", "/v1/chat/completions"] {
        for query in ["max_new_tokens=99999", "a=b&max%5fnew_tokens=99999", "MAX_LENGTH=101"] {
            let status = doors.json(&format!("{path}?{query}"), r#"{"inputs":"a"}"#).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}?{query}");
        }
        let status = doors.json(&format!("{path}?max_new_tokens=5"), r#"{"inputs":"a"}"#).await;
        assert_eq!(status, StatusCode::OK);
    }
    let sound = doors.typed("/?max_new_tokens=99999", "audio/flac", vec![0xff; 9]);
    assert_eq!(doors.send(sound).await, StatusCode::BAD_REQUEST);
    assert_eq!(doors.seen.take().len(), 6);

    // Types: JSON is what looks like it.
    for media_type in [
        "",
        "text/json",
        "application/vnd.api+json",
        "image/png",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
    ] {
        for path in ["/", "/models/org/m"] {
            let request = doors.typed(path, media_type, greedy);
            assert_eq!(doors.send(request).await, StatusCode::OK, "{path} {media_type}");
            assert_eq!(doors.seen.one(), cut, "{path} {media_type}");
        }
        if !media_type.ends_with("+json") {
            let request = doors.typed("/generate", media_type, greedy);
            assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }
    for (media_type, body) in [
        ("application/x-www-form-urlencoded", &b"inputs=a&max_new_tokens=99999"[..]),
        ("text/plain", b"once"),
        ("audio/flac", b"once"),
        ("", b"once"),
        ("text/plain; charset=utf-16", b"\xff\xfeo\0n\0c\0e\0"),
    ] {
        let request = doors.typed("/", media_type, body);
        assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
    }
    let utf16: Vec<u8> = greedy.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xef\xbb\xbf", greedy.as_bytes()].concat();
    for body in [utf16, marked, br#"{"inputs":"a",}"#.to_vec(), br#"[{"inputs":"a"}"#.to_vec()] {
        for media_type in ["", "application/json", "image/png"] {
            let request = doors.typed("/", media_type, body.clone());
            assert_eq!(doors.send(request).await, StatusCode::BAD_REQUEST, "{media_type}");
        }
    }
    // A coding, and a type that is told twice.
    for path in ["/", "/generate", "/models/org/m"] {
        let mut request = post(path, &doors.token, greedy);
        request.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(doors.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    let mut twice = post("/", &doors.token, greedy);
    twice.headers_mut().append(header::CONTENT_TYPE, "image/png".parse().unwrap());
    assert_eq!(doors.send(twice).await, StatusCode::OK);
    assert_eq!(doors.seen.one(), cut);

    // Bodies that some readers take for what they are not.
    for body in [
        r#"["a",{"max_new_tokens":99999}]"#,
        r#"{"inputs":"a","parameters":[null,null,99999]}"#,
        r#"{"inputs":"a","parameters":{},"Parameters":{"max_new_tokens":99999}}"#,
        r#"{"inputs":"a","parameters":{"max_new_tokens":5,"MAX_NEW_TOKENS":99999}}"#,
        r#"{"instances":[["a",{"max_new_tokens":99999}]]}"#,
        r#"[{"inputs":"a"}]"#,
        r#""once""#,
    ] {
        for path in ["/", "/generate", "/invocations", "/vertex", "/models/org/m"] {
            let status = doors.json(path, body).await;
            let unknown = path == "/generate" && body.contains("instances");
            let expected = if unknown { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            assert_eq!(status, expected, "{path} {body}");
        }
    }
    doors.seen.take();
    let twice = r#"{"inputs":"a","parameters":{"max_new_tokens":5,"max_new_tokens":99999}}"#;
    assert_eq!(doors.json("/", twice).await, StatusCode::BAD_REQUEST);
    let many = format!(r#"{{"instances":[{}"a"]}}"#, r#""a","#.repeat(128));
    assert_eq!(doors.json("/vertex", &many).await, StatusCode::UNPROCESSABLE_ENTITY);

    // Two forms at once, both names of one form, escapes, a stream, and what sets a minimum.
    for (path, body, pointers) in [
        (
            "/",
            r#"{"inputs":"a","messages":[],"prompt":"p"}"#,
            &["/max_tokens", "/parameters/max_new_tokens"][..],
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"max_tokens":99999,"max_completion_tokens":99999}"#,
            &["/max_tokens", "/max_completion_tokens"],
        ),
        (
            "/invocations",
            r#"{"inputs":"a","stream":true,"parameters":{"max\u005fnew_tokens":99999}}"#,
            &["/parameters/max_new_tokens"],
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"min_tokens":99999,"ignore_eos":true}"#,
            &["/max_tokens"],
        ),
        ("/models/org/embeddings", r#"{"inputs":"a"}"#, &["/parameters/max_new_tokens"]),
    ] {
        assert_eq!(doors.json(path, body).await, StatusCode::OK, "{path} {body}");
        let arrived = doors.seen.one();
        for pointer in pointers {
            assert_eq!(arrived.pointer(pointer), Some(&json!(MOST)), "{path} {arrived}");
        }
    }

    // Other methods, and other spellings of an open path.
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE] {
        for path in ["/", "/generate", "/models/org/m"] {
            let mut request = post(path, &doors.token, greedy);
            *request.method_mut() = method.clone();
            let status = send(doors.gateway.address, request).await.status();
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in [
        "/generate/",
        "//generate",
        "/generat%65",
        "/Generate",
        "/generate;x=1",
        "/./generate",
        "/v1/v1/chat/completions",
        "/models/org/m/",
        "/models/org/m/v1/responses",
        "/v1/chat/completions/generate",
    ] {
        assert_eq!(doors.json(path, greedy).await, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(doors.seen.take().is_empty());
}
