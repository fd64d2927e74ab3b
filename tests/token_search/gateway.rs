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
    access_log::{AccessLogLayer, Events, Format, Sink},
    auth::{AccessRule, AccessRules, AuthLayer, aws_iam::SignedBodyLayer},
    cache::{CacheLayer, Scope},
    client::HttpsClient,
    fallback::FallbackLayer,
    hf::{HfTokenLayer, Stage, TokenSource},
    identity::Callers,
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::PayloadLayer,
    record::{Record, RecordSink},
    rejection::RejectionFormat,
    request_id::RequestIdLayer,
    route::RouteLayer,
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

/// The layers of a gateway.
pub struct Layers {
    /// A sink beside the log.
    pub sink: Option<FullSink>,
    pub route: Option<RouteLayer>,
    pub auth: AuthLayer,
    pub throttle: ThrottleLayer,
    pub payload: PayloadLayer,
    pub model_rules: Option<ModelRulesLayer>,
    pub cache: CacheLayer,
    pub token_budget: TokenBudgetLayer,
    pub fallback: Option<FallbackLayer>,
    pub upstream: UpstreamLayer,
}

/// A sink that must have each record and cannot take one.
pub struct FullSink;

impl RecordSink for FullSink {
    fn accepts_requests(&self) -> bool {
        false
    }

    fn record(&self, _record: &Record<'_>) {}
}

impl Layers {
    fn new(issuer: &TestIssuer, profile: &Profile) -> Self {
        let chats = AccessRule::new("chats", Callers::new()).path("/v1/*");
        let auth = AuthLayer::new(issuer.jwt()).rules(AccessRules::new().allow(chats)).unwrap();
        let requests = Rate::per_second(1).burst(10_000);
        let tokens = Rate::per_second(1_000).burst(1_000_000);
        let wait = Duration::from_millis(200);
        let rules = ModelRules::new().allow(ModelRule::new(["org/demo"]).any_provider());
        Self {
            sink: None,
            route: None,
            auth,
            throttle: ThrottleLayer::new(Limit::per_identity(requests)),
            payload: PayloadLayer::new(),
            model_rules: Some(ModelRulesLayer::new(profile.clone(), rules)),
            cache: CacheLayer::new("search", Scope::Identity).cache_status(),
            token_budget: TokenBudgetLayer::new(Limit::per_identity(tokens)),
            fallback: None,
            upstream: UpstreamLayer::new()
                .head_timeout(wait)
                .first_byte_timeout(wait)
                .idle_timeout(wait)
                .rejections(RejectionFormat::Problem),
        }
    }
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
        let origin = format!("http://{upstream}").parse().unwrap();
        Self::start_with(Stage::new("first", origin, source), form, |_, _| ()).await
    }

    /// Starts a gateway whose layers `change` has changed.
    pub async fn start_with(
        stage: Stage,
        form: Form,
        change: impl FnOnce(&mut Layers, &TestIssuer),
    ) -> Self {
        let records = Lines::default();
        let sink = Sink::new(records.clone()).unwrap();
        let issuer = TestIssuer::new();
        let profile = Profile::openai();
        let mut layers = Layers::new(&issuer, &profile);
        change(&mut layers, &issuer);
        let hf_token = HfTokenLayer::stage(stage);
        let client = HttpsClient::builder();
        let client = if form.http2 { client.http2_prior_knowledge() } else { client };
        let hf_token = if form.scrub_bodies { hf_token.scrub_bodies() } else { hf_token };
        let more = ["user_agent", "http_version"];
        let access_log = if form.text_log {
            AccessLogLayer::sink(Events::new().more_fields(more).unwrap())
        } else {
            AccessLogLayer::lines(sink.clone(), Format::json().more_fields(more).unwrap())
        };
        let access_log = match layers.sink {
            Some(sink) => access_log.and(sink),
            None => access_log,
        };
        let gateway = Stack::new()
            .around(SignedBodyLayer::new())
            .stalled_reader(StalledReaderLayer::new())
            .request_id(RequestIdLayer::new())
            .access_log(access_log)
            .route(layers.route)
            .auth(layers.auth)
            .throttle(layers.throttle)
            .payload(layers.payload)
            .schema(SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone())))
            .transform(TransformLayer::new().profile(profile).max_output_tokens(64))
            .model_rules(layers.model_rules)
            .cache(layers.cache)
            .token_budget(layers.token_budget)
            .fallback(layers.fallback)
            .upstream(layers.upstream)
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

    /// Returns the header of a caller that is allowed.
    pub fn credentials(&self) -> String {
        format!("authorization: {}\r\n", self.bearer)
    }

    /// Sends a chat request. Returns the whole response as it came.
    pub async fn chat(&self, body: &str) -> String {
        self.send("POST", "/v1/chat/completions", &self.credentials(), body).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        self.exchange(&head(method, path, headers, body.len()), body).await
    }

    /// Sends a request whose body lacks its end.
    pub async fn send_part(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        self.exchange(&head(method, path, headers, body.len() + 1), body).await
    }

    async fn exchange(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all([head, body].concat().as_bytes()).await.unwrap();
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

fn head(method: &str, path: &str, headers: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}
