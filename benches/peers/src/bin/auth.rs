//! Measures the verification of a token beside other crates.
//!
//! `cargo run --release --features auth --bin auth` in this folder. All sides take turns of some requests
//! in one run. All check the signature, `iss`, `aud`, `exp` and `nbf`. A separate round counts the
//! allocations. Each side has its keys beforehand, so no side fetches any.

#[path = "../../../../tests/support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
    hint::black_box,
    marker::PhantomData,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use jwt_authorizer::{AuthError, IntoLayer, JwtAuthorizer, RegisteredClaims, Validation};
use serde_json::json;
use token::{AUDIENCE, ISSUER, Signer};
use tower::{Layer, Service, ServiceExt};
use tower_inference::auth::{AuthLayer, Jwt, Keys};
use tower_oauth2_resource_server::{
    server::OAuth2ResourceServer, tenant::TenantConfiguration, validation::ClaimsValidationSpec,
};

/// Sends a request with each of these tokens and returns the nanoseconds of each.
type Contender = Box<dyn FnMut(&[HeaderValue]) -> f64>;

/// The requests of a turn. Each has a token of its own.
const REQUESTS: usize = 64;
const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    for (algorithm, signer) in [("RS256", Signer::rs256()), ("ES256", Signer::es256())] {
        println!("\n{algorithm}: nanoseconds of a request (quartiles), allocations");
        let tokens = tokens(&signer)?;
        let contenders = contenders(&signer)?;
        compare(contenders, &tokens);
    }
    Ok(())
}

fn tokens(signer: &Signer) -> Result<Vec<HeaderValue>, Box<dyn Error>> {
    let claims = (0..REQUESTS).map(|number| {
        let mut claims = token::claims();
        claims["jti"] = json!(format!("01JD4S0Z3J6R1T6W8X9Y0Z{number:04}"));
        claims
    });
    claims.map(|claims| Ok(format!("Bearer {}", signer.sign(&claims)).parse()?)).collect()
}

fn contenders(signer: &Signer) -> Result<Vec<(&'static str, Contender)>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let jwks = signer.jwks();
    let ours = |cache: u64| -> Result<AuthLayer, Box<dyn Error>> {
        let jwt = Jwt::new(Keys::from_jwks(&jwks)?, ISSUER, AUDIENCE).max_cache_bytes(cache);
        Ok(AuthLayer::new(jwt))
    };
    let claims = ClaimsValidationSpec::recommended(ISSUER, &vec![AUDIENCE.to_owned()]);
    let tenant =
        TenantConfiguration::static_builder(jwks.clone()).claims_validation(claims).build()?;
    let server = <OAuth2ResourceServer>::builder().add_tenant(tenant).build();
    let server = runtime.block_on(server)?;
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).exp(true).nbf(true);
    let authorizer = JwtAuthorizer::<RegisteredClaims>::from_jwks_text(&jwks);
    let authorizer = runtime.block_on(authorizer.validation(validation).build())?;
    Ok(vec![
        ("bare", contender::<_, Response<Body>>(tower::layer::util::Identity::new())?),
        ("tower-inference, token seen before", contender::<_, Response<Body>>(ours(8 << 20)?)?),
        ("tower-inference, new token", contender::<_, Response<Body>>(ours(0)?)?),
        ("tower-oauth2-resource-server", contender::<_, Response<Body>>(server.into_layer())?),
        ("jwt-authorizer", contender::<_, Judged>(authorizer.into_layer())?),
    ])
}

fn contender<L, R>(layer: L) -> Result<Contender, Box<dyn Error>>
where
    R: 'static,
    L: Layer<Bare<R>>,
    L::Service: Service<Request<Body>, Response: Passed, Error = Infallible> + Clone + 'static,
{
    let service = layer.layer(Bare(PhantomData));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(Box::new(move |tokens| {
        let requests: Vec<_> = tokens.iter().map(request).collect();
        let start = Instant::now();
        for request in requests {
            let response = runtime.block_on(service.clone().oneshot(black_box(request)));
            assert!(response.is_ok_and(|response| response.passed()), "each token is valid");
        }
        start.elapsed().as_nanos() as f64 / tokens.len() as f64
    }))
}

fn request(token: &HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    request
}

fn compare(mut contenders: Vec<(&'static str, Contender)>, tokens: &[HeaderValue]) {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let time = run(tokens);
            // The first turn warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    for ((name, run), mut times) in contenders.into_iter().zip(times) {
        let mut run = run;
        let allocations = allocation_counter::measure(|| {
            let _time = run(tokens);
        });
        // One for the vector of the requests.
        let allocations = (allocations.count_total - 1) as f64 / tokens.len() as f64;
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[times.len() * part / 4];
        println!("{name:<36} {:>9.0} ({:.0} to {:.0}) {allocations:>7.1}", at(2), at(1), at(3));
    }
}

/// The inner service.
struct Bare<R>(PhantomData<fn() -> R>);

impl<R> Clone for Bare<R> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<R: Default> Service<Request<Body>> for Bare<R> {
    type Response = R;
    type Error = Infallible;
    type Future = Ready<Result<R, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(R::default()))
    }
}

/// A response that tells whether the request passed.
trait Passed {
    fn passed(&self) -> bool;
}

impl<B> Passed for Response<B> {
    fn passed(&self) -> bool {
        self.status() == StatusCode::OK
    }
}

/// The response around jwt-authorizer, which makes rejections for another version of axum.
struct Judged {
    passed: bool,
}

impl Default for Judged {
    fn default() -> Self {
        Self { passed: true }
    }
}

impl From<AuthError> for Judged {
    fn from(_: AuthError) -> Self {
        Self { passed: false }
    }
}

impl Passed for Judged {
    fn passed(&self) -> bool {
        self.passed
    }
}
