//! Bodies of 8 MiB that are made to cost time. `serde_json` and this crate read each of them in turn.
//! The bench prints the ratio of the shortest times.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::Criterion;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    cache::{CacheLayer, Cacheable, Scope},
    context::RequestContext,
    identity::{Identity, Proof},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::{Document, Payload, PayloadLayer},
    schema::{BuiltInSchemas, ChatLimits, SchemaLayer},
    transform::TransformLayer,
};

const LENGTH: usize = 8 << 20;
const TURNS: usize = 3;

pub fn print(_criterion: &mut Criterion) {
    let schema = BuiltInSchemas::new(Profile::openai()).chat_completion();
    println!("\nworst bodies, {} MiB each: milliseconds, and times serde_json", LENGTH >> 20);
    println!("{:28} {:>8} {:>16} {:>16} {:>16}", "", "serde", "document", "layers", "schema");
    for (what, body) in cases() {
        let [mut serde, mut document, mut layers, mut judged] = [Duration::MAX; 4];
        for _ in 0..TURNS {
            serde = serde.min(timed(|| serde_json::from_slice::<serde_json::Value>(&body)));
            document = document.min(timed(|| Document::parse(body.clone())));
            layers = layers.min(timed(|| pass(&body)));
            judged = judged.min(timed(|| {
                let document = Document::parse(body.clone()).ok()?;
                Some(schema.violations(&document))
            }));
        }
        let column = |time: Duration| {
            let ratio = time.as_secs_f64() / serde.as_secs_f64();
            format!("{:7.1} ({ratio:5.2})", time.as_secs_f64() * 1e3)
        };
        let serde = serde.as_secs_f64() * 1e3;
        let columns = [document, layers, judged].map(column);
        println!("{what:28} {serde:8.1} {:>16} {:>16} {:>16}", columns[0], columns[1], columns[2]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(run());
    let took = start.elapsed();
    drop(result);
    took
}

/// Sends the body through all layers that read it. The upstream responds at once.
fn pass(body: &Bytes) -> u16 {
    let layers = (
        PayloadLayer::new(),
        SchemaLayer::any_body()
            .chat_limits(ChatLimits::new().max_characters(usize::MAX).max_images(1_000)),
        TransformLayer::new()
            .max_output_tokens(256)
            .default_json("/user".parse().unwrap(), "u")
            .remove_json("/stream_options/include_usage".parse().unwrap()),
        ModelRulesLayer::new(
            Profile::router(),
            ModelRules::new().allow(ModelRule::new(["*"]).any_provider()),
        ),
        CacheLayer::new("upstream", Scope::Identity).cacheable(Cacheable::by(|_| true)),
    );
    let inner = service_fn(|_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::new(body.clone()))
        .unwrap();
    let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
    RequestContext::ensure(request.extensions_mut()).set_identity(std::sync::Arc::new(caller));
    let mut answer = pin!(layers.layer(inner).oneshot(request));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut cx) {
            return answer.unwrap().status().as_u16();
        }
    }
}

fn cases() -> Vec<(&'static str, Bytes)> {
    let members =
        |name: &dyn Fn(usize) -> String| body(&|at| format!("\"{}\":0", name(at)), "", "");
    let elements = |element: &dyn Fn(usize) -> String| body(element, "\"messages\":[", "]");
    let object = |count: usize, name: &str| {
        let members: Vec<_> = (0..count).map(|at| format!("\"{name}{at:02}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let (few, many) = (object(2, "\\u0061"), object(16, "\\u0061\\u0061\\u0061\\u0061"));
    let seventeen = object(17, "\\u0061\\u0061\\u0061\\u0061");
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let case = |at: usize| (0..24).map(|bit| if at >> bit & 1 == 0 { 'a' } else { 'A' }).collect();
    vec![
        (
            "a chat",
            elements(&|at| format!(r#"{{"role":"user","content":"{at} says \"hi\" to you"}}"#)),
        ),
        ("escaped names", members(&|at| format!("\\u0061{at:06}"))),
        ("plain names", members(&|at| format!("{at:06}"))),
        ("names alike but for case", members(&case)),
        ("names beyond ASCII", members(&|at| format!("\u{17f}\u{212a}\u{df}{at:06}"))),
        ("names of a long common part", members(&|at| format!("{}{at:06}", "x".repeat(200)))),
        ("objects of 2 escaped names", elements(&|_| few.clone())),
        ("objects of 16 escaped names", elements(&|_| many.clone())),
        ("objects of 17 escaped names", elements(&|_| seventeen.clone())),
        ("numbers of one digit", elements(&|_| "0".to_owned())),
        ("numbers of 1,000 digits", elements(&|_| format!("0.{}", "7".repeat(1_000)))),
        ("depth of 120", elements(&|_| deep.clone())),
        ("one plain string", elements_of_one("x")),
        ("one escaped string", elements_of_one("\\u0061")),
        ("white space", elements(&|_| format!("{}0", " ".repeat(1_000)))),
    ]
}

/// Returns an object with a model and as many members as fit.
fn body(part: &dyn Fn(usize) -> String, open: &str, close: &str) -> Bytes {
    const NODES: usize = 700_000;
    let mut text = format!("{{\"model\":\"org/model\",{open}");
    let mut nodes = 0;
    for at in 0.. {
        let part = part(at);
        nodes += 1 + part.matches([',', ':', '[']).count();
        if nodes > NODES || text.len() + part.len() + 16 > LENGTH {
            break;
        }
        if at > 0 {
            text.push(',');
        }
        text.push_str(&part);
    }
    text.push_str(close);
    text.push('}');
    text.into()
}

fn elements_of_one(piece: &str) -> Bytes {
    let text = piece.repeat(LENGTH / piece.len() - 20);
    format!(
        "{{\"model\":\"org/model\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
    )
    .into()
}
