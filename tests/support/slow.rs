//! An upstream behind which time passes.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use tower::Service;
use tower_inference::{clock::FakeClock, test_util::TestUpstream};

/// Three seconds pass with each head.
#[derive(Clone)]
pub struct Slow {
    pub upstream: TestUpstream,
    pub clock: FakeClock,
}

impl<B> Service<Request<B>> for Slow
where
    TestUpstream: Service<Request<B>>,
{
    type Response = <TestUpstream as Service<Request<B>>>::Response;
    type Error = <TestUpstream as Service<Request<B>>>::Error;
    type Future = <TestUpstream as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.upstream.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.clock.advance(Duration::from_secs(3));
        self.upstream.call(request)
    }
}
