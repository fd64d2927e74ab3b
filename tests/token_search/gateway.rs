//! A whole gateway on hyper, and everything that it puts out.

use std::{net::SocketAddr, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::{AccessRule, AccessRules, AuthLayer},
    cache::{CacheLayer, Scope},
    client::HttpsClient,
    hf::{HfTokenLayer, TokenSource},
    identity::Callers,
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    rejection::RejectionFormat,
    request_id::RequestIdLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use crate::log::Lines;

pub const CHAT: &str = r#"{"model":"org/demo","messages":[{"role":"user","content":"Hi"}]}"#;

/// Settings of the gateway that change its outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    /// Whether the access log is text of the log. By default it is JSON of its own.
    pub text_log: bool,
    /// Whether the upstream speaks HTTP/2.
    pub http2: bool,
    pub scrub_bodies: bool,
}

pub struct Served {
    pub address: SocketAddr,
    pub bearer: String,
    pub issuer: TestIssuer,
    /// The access log in JSON.
    pub records: Lines,
    sink: Sink,
    /// Everything that clients have read.
    pub received: Lines,
}

impl Served {
    pub async fn start(upstream: SocketAddr, source: TokenSource, form: Form) -> Self {
        let records = Lines::default();
        let sink = Sink::new(records.clone()).unwrap();
        let issuer = TestIssuer::new();
        let profile = Profile::openai();
        let origin = format!("http://{upstream}").parse().unwrap();
        let hf_token = HfTokenLayer::new(origin, source);
        let client = HttpsClient::builder();
        let client = if form.http2 { client.http2_prior_knowledge() } else { client };
        let hf_token = if form.scrub_bodies { hf_token.scrub_bodies() } else { hf_token };
        let access_log =
            if form.text_log { AccessLogLayer::new() } else { AccessLogLayer::json(sink.clone()) };
        let rules = ModelRules::new().allow(ModelRule::new(["org/demo"]).any_provider());
        let chats = AccessRule::new("chats", Callers::new()).path("/v1/*");
        let gateway = Stack::new()
            .stalled_reader(StalledReaderLayer::new())
            .request_id(RequestIdLayer::new())
            .access_log(access_log.user_agent().http_version().scrubber(hf_token.scrubber()))
            .auth(AuthLayer::new(issuer.jwt()).rules(AccessRules::new().allow(chats)).unwrap())
            .throttle(ThrottleLayer::new(Limit::per_identity(Rate::per_second(1).burst(10_000))))
            .schema(SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone())))
            .transform(TransformLayer::new().profile(profile.clone()).max_output_tokens(64))
            .model_rules(ModelRulesLayer::new(profile, rules))
            .cache(CacheLayer::new("search", Scope::Identity).cache_status())
            .token_budget(TokenBudgetLayer::new(Limit::per_identity(
                Rate::per_second(1_000).burst(1_000_000),
            )))
            .upstream(
                UpstreamLayer::new()
                    .head_timeout(Duration::from_millis(200))
                    .first_byte_timeout(Duration::from_millis(200))
                    .idle_timeout(Duration::from_millis(200))
                    .rejections(RejectionFormat::Problem),
            )
            .hf_token(hf_token)
            .boxed(client.build().unwrap());
        let bearer = issuer.token("ann").bearer();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(gateway.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await
                    {
                        // A program would log this error.
                        tracing::debug!(%error, ?error, "the connection failed");
                    }
                });
            }
        });
        let received = Lines::default();
        Self { address, bearer, issuer, records, sink, received }
    }

    /// Sends a chat request. Returns the whole response as it came.
    pub async fn chat(&self, body: &str) -> String {
        let bearer = format!("authorization: {}\r\n", self.bearer);
        self.send("POST", "/v1/chat/completions", &bearer, body).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        // A response that is cut may end in a reset.
        let _cut = stream.read_to_end(&mut response).await;
        std::io::Write::write_all(&mut self.received.clone(), &response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Returns the records of the access log in JSON and everything that clients have read.
    pub fn outputs(&self) -> [(&'static str, String); 2] {
        assert!(self.sink.flush());
        [("the access log", self.records.text()), ("a response", self.received.text())]
    }
}
