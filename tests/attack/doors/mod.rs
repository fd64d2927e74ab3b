//! Routes by which `--max-tokens`, `--schema` and `--token-budget` might be passed by.
//!
//! The first test fails where an open route of the example is not in the table; the others send
//! requests to every row of it.

mod charges;
mod limits;
mod schemas;

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
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::{
    client::{bytes, post, send},
    process::{Gateway, unless_hung},
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
    let rows = include_str!("../../../src/model/known_routes.rs").lines().filter_map(|line| {
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
