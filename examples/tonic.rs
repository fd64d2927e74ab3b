//! A guarded gRPC service on tonic: the layers are outside of the services.
//!
//! `cargo run --example tonic` serves gRPC's health check. A rejection is a gRPC status. The services
//! find the caller in the extensions of the request.
//!
//! gRPC needs a stack of its own, whose layers do not read bodies. A call may stream its messages both
//! ways, and a body that is read to its end before the service begins would stop it. The messages are
//! Protocol Buffers, so schema, transform, cache and token budgets find no JSON in them. A gateway for
//! both routes `application/grpc` to this stack and the rest to another one.

use std::{env, error::Error, io};

use tokio::net::TcpListener;
use tonic::{Request, Status, transport::Server, transport::server::TcpIncoming};
use tonic_health::pb::health_server::HealthServer;
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::AuthLayer,
    context::RequestContext,
    limits::{Limit, Rate},
    request_id::RequestIdLayer,
    stack::Stack,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
};

/// Reads the caller. The extensions are the same in the methods of a service.
fn check_caller(request: Request<()>) -> Result<Request<()>, Status> {
    let context = request.extensions().get::<RequestContext>();
    let caller = context.and_then(RequestContext::identity);
    let caller = caller.ok_or_else(|| Status::unauthenticated("no caller"))?;
    if caller.has_scope("health") {
        Ok(request)
    } else {
        Err(Status::permission_denied(format!("{} has no scope `health`", caller.subject())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For your identity provider: `RemoteKeys::discovery(issuer, client).build()?`.
    let issuer = TestIssuer::new();
    let log = Sink::new(io::stderr())?;
    let layers = Stack::new()
        .request_id(RequestIdLayer::new())
        .access_log(AccessLogLayer::json(log.clone()))
        .auth(AuthLayer::new(issuer.jwt()))
        .throttle(ThrottleLayer::new(Limit::per_identity(Rate::per_second(1).burst(5))));

    let (reporter, _) = tonic_health::server::health_reporter();
    reporter.set_service_status("demo", tonic_health::ServingStatus::Serving).await;
    let health = tonic_health::server::HealthService::from_health_reporter(reporter);
    let health = HealthServer::with_interceptor(health, check_caller);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    println!("TOKEN={}", issuer.token("ann").scope("health"));
    println!("TOKEN_WITHOUT_SCOPE={}", issuer.token("bob"));

    // Taken over before the first call, which a signal would otherwise cut off.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stopped = async move { _ = terminate.recv().await };
    Server::builder()
        .layer(layers)
        .add_service(health)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped)
        .await?;
    if !log.flush() {
        eprintln!("the access log lost lines");
    }
    Ok(())
}
