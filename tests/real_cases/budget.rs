//! Estimates of prompts, and the addresses of callers.
//!
//! | party | shape | source | what we do |
//! |---|---|---|---|
//! | Anthropic | base64 of an image or a document in `source.data` | BerriAI/litellm#32865 | 1,000 tokens each |
//! | OpenAI | `image_url` with a data URL; `result` of an earlier picture | diegosouzapw/OmniRoute#8368 | 1,000 tokens each |
//! | MCP | `data` of an image in a tool's result | google-gemini/gemini-cli#17923 | 1,000 tokens each |
//! | Azure | address and port in `x-forwarded-for` | express-rate-limit/express-rate-limit#234 | the port is no part of the key |
//! | load balancers | IPv6 in brackets, bare, or mapped from IPv4 | firezone/firezone#12270, traefik/traefik#11508 | one key for a /64, the address of IPv4 for a mapped one |
//! | proxies | a second line of `x-forwarded-for` | xorbitsai/xagent#1185 | read as one list |

use std::{convert::Infallible, future::ready, net::SocketAddr, sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, MemoryStore, Rate, Subject},
    payload::Payload,
    peer::{ForwardedHeader, PeerAddress},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
};

use crate::support::{ScriptedBody, Step};

/// Path and body; `@` is 1,000,000 characters of base64.
const MEDIA: [(&str, &str); 5] = [
    (
        "/v1/messages",
        r#"{"model":"claude-x","max_tokens":60,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"@"}},{"type":"text","text":"What is it?"}]}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"model":"gpt-x","max_output_tokens":60,"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,@"}]}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"model":"gpt-x","max_output_tokens":60,"input":[{"role":"user","content":"Draw it"},{"type":"image_generation_call","id":"ig_1","status":"completed","result":"@"},{"role":"user","content":"Bluer"}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"model":"gpt-x","max_tokens":60,"messages":[{"role":"user","content":"Look"},{"role":"tool","tool_call_id":"c","content":[{"type":"image","data":"@","mimeType":"image/png"}]}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"model":"claude-x","max_tokens":60,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"@"}}]}]}"#,
    ),
];

#[tokio::test]
async fn base64_image_counted_as_text() {
    let data = "iVBORw0KGgoAAAAN".repeat(62_500);
    for (path, body) in MEDIA {
        let limit = Limit::per_identity(Rate::per_minute(50_000));
        // Nothing grows back while this runs.
        let clock = SharedClock::new(FakeClock::new(UNIX_EPOCH));
        let store = MemoryStore::new().clock(clock);
        let budget = TokenBudgetLayer::new(limit).default_output_limit(100).store(store);
        let identity = Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-1"));
        let subject = Subject::identity(&identity.principal());
        let left = async || budget.limit_state("identity", &subject).await.unwrap().remaining;
        let before = left().await;
        let told = r#"{"choices":[{"message":{"content":"A bicycle."}}],"usage":{"prompt_tokens":1049,"completion_tokens":4,"input_tokens":1049,"output_tokens":4}}"#;
        let upstream = service_fn(move |_: Request<Payload>| {
            let response = Response::builder().header("content-type", "application/json");
            let body = ScriptedBody::new([Step::Bytes(Bytes::from_static(told.as_bytes()))]);
            ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let request = Request::post(path).header("content-type", "application/json");
        let mut request = request.body(Payload::buffered(body.replace('@', &data))).unwrap();
        RequestContext::ensure(request.extensions_mut()).set_identity(Arc::clone(&identity));

        let response = budget.layer(upstream).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let reserved = before - left().await;
        assert!((1_060..1_160).contains(&reserved), "{path}: {reserved}");
        response.into_body().collect().await.unwrap();
        assert_eq!(before - left().await, 1_053, "{path}");
    }
}

#[tokio::test]
async fn forwarded_for_with_ports() {
    let proxies = ["10.0.0.0/8", "fd00::/8"];
    let address =
        PeerAddress::connection().behind(ForwardedHeader::XForwardedFor, proxies).unwrap();
    let layer = ThrottleLayer::new(Limit::per_peer(address, Rate::per_minute(2).burst(2)));
    let service = layer.layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    }));
    let proxy: SocketAddr = "10.0.0.5:41000".parse().unwrap();
    let requests: [(&[&str], u16); 9] = [
        (&["198.51.100.7:50001"], 200),
        (&["198.51.100.7:50002"], 200),
        (&["203.0.113.9, 198.51.100.7:50003"], 429),
        (&["[2001:db8:1:2::7]:443"], 200),
        (&["[2001:db8:1:2::8]"], 200),
        (&["2001:db8:1:2::9"], 429),
        (&["::ffff:198.51.100.7"], 429),
        (&["203.0.113.9", "198.51.100.7"], 429),
        // Another caller is served.
        (&["198.51.100.7", "192.0.2.1:50004"], 200),
    ];
    for (lines, status) in requests {
        let mut request = Request::get("/");
        for line in lines {
            request = request.header("x-forwarded-for", *line);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(proxy);
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{lines:?}");
    }
}
