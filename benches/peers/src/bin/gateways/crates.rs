//! A gateway of published crates: axum, tower-http, tower-oauth2-resource-server and tower_governor.

use std::{fs, fs::File, io::BufWriter, net::SocketAddr, sync::Mutex};

use axum::{
    Router, body::Body, extract::State, http::Request, response::Response, serve::ListenerExt as _,
};
use http::{
    HeaderValue, StatusCode, Uri, header,
    uri::{Authority, Scheme},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};
use tower_http::{
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tower_oauth2_resource_server::{
    claims::DefaultClaims, server::OAuth2ResourceServer, tenant::TenantConfiguration,
    validation::ClaimsValidationSpec,
};
use tracing::Level;

use crate::{Error, token};

/// Serves until it is killed.
pub(crate) async fn serve(
    listener: TcpListener,
    upstream: SocketAddr,
    jwks: &str,
    log: &str,
) -> Result<(), Error> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(Mutex::new(BufWriter::new(File::create(log)?)))
        .init();
    let claims =
        ClaimsValidationSpec::recommended(token::ISSUER, &vec![token::AUDIENCE.to_owned()]);
    let tenant = TenantConfiguration::static_builder(fs::read_to_string(jwks)?)
        .claims_validation(claims)
        .build()?;
    let auth = <OAuth2ResourceServer>::builder().add_tenant(tenant).build().await?;
    let limit = GovernorConfigBuilder::default()
        .per_nanosecond(1_000)
        .burst_size(1_000_000)
        .key_extractor(Subject)
        .finish()
        .ok_or("the limit is zero")?;
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    // The last layer is the outermost.
    let app = Router::new()
        .fallback(forward)
        .with_state(Upstream::new(upstream)?)
        .layer(RequestBodyLimitLayer::new(10 << 20))
        .layer(GovernorLayer::new(limit))
        .layer(auth.into_layer())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(trace)
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));
    let listener = listener.tap_io(|stream| {
        let _without_it_slower = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

/// Counts by the token's `sub`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject;

impl KeyExtractor for Subject {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let claims = request.extensions().get::<DefaultClaims>();
        claims.and_then(|claims| claims.sub.clone()).ok_or(GovernorError::UnableToExtractKey)
    }
}

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: Authority,
    token: HeaderValue,
}

impl Upstream {
    fn new(address: SocketAddr) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut token = HeaderValue::from_static("Bearer hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH");
        token.set_sensitive(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, authority: address.to_string().parse()?, token })
    }
}

async fn forward(
    State(upstream): State<Upstream>,
    mut request: Request<Body>,
) -> Result<Response, StatusCode> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.authority);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| StatusCode::BAD_REQUEST)?;
    request.headers_mut().insert(header::AUTHORIZATION, upstream.token);
    let response = upstream.client.request(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(response.map(Body::new))
}
