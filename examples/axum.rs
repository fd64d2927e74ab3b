//! A guarded service on axum: your own handlers behind the layers.
//!
//! `cargo run --example axum` prints a command to paste. Stop it with Ctrl-C or SIGTERM: requests in
//! flight are completed, and the access log has a line for each.

use std::{env, error::Error, io};

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::AuthLayer,
    context::RequestContext,
    extract::{Caller, RequestId},
    limits::{Limit, Rate},
    payload::{Payload, PayloadLayer},
    rejection::{Refusal, Rejection, RejectionFormat},
    request_id::RequestIdLayer,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
};

/// The extractors read what the layers have found out. The body is not parsed again.
async fn shout(caller: Caller, id: RequestId, payload: Payload) -> Json<Value> {
    let text = payload.document().ok().and_then(|body| body.root().get("text")?.as_str());
    let text = text.unwrap_or_default().to_uppercase();
    Json(json!({ "caller": caller.subject(), "request": id.as_str(), "text": text }))
}

/// Axum's own 404 has no body. This one has the form of the layers' rejections.
async fn not_found(context: RequestContext, request: Request) -> Response {
    let responder = RejectionFormat::Problem.for_request(&request);
    responder.respond::<Body>(Rejection::new(Refusal::NotFound), &context).into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A demo key. For your identity provider: `RemoteKeys::discovery(issuer, client).build()?`.
    let issuer = TestIssuer::new();
    let jwt = issuer.jwt().required_scopes(["shout"])?;

    let log = Sink::new(io::stderr())?;
    let layers = ServiceBuilder::new() // outermost first
        .layer(RequestIdLayer::new())
        .layer(AccessLogLayer::json(log.clone()))
        .layer(AuthLayer::new(jwt))
        .layer(ThrottleLayer::new(Limit::per_identity(Rate::per_second(1).burst(5))))
        .layer(PayloadLayer::new().max_body_bytes(64 << 10));
    let app = Router::new().route("/shout", post(shout)).fallback(not_found).layer(layers);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let stopped = stopped()?;
    let url = format!("http://{}", listener.local_addr()?);
    let token = issuer.token("ann").scope("shout");
    println!("listening on {url}\nTOKEN={token}");
    println!(r#"curl {url}/shout -H "authorization: Bearer $TOKEN" --json '{{"text": "hello"}}'"#);

    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    // The server has dropped its services, so all records are queued. This writes them.
    if !log.flush() {
        eprintln!("the access log lost lines");
    }
    Ok(())
}

/// Takes over Ctrl-C and the SIGTERM of an orchestrator at once. The future waits for one of them.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
