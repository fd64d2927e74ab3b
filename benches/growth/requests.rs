//! Requests through layers in this process.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
};

use crate::{Error, pass};

/// A chat request of 320 bytes whose prompt is a number.
pub(crate) fn numbered(number: usize) -> Request<Full<Bytes>> {
    let start =
        r#"{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"user","content":""#;
    let end = r#""}],"max_tokens":64,"temperature":0,"stream":false}"#;
    let prompt = 320 - start.len() - end.len();
    pass::request_of("", &format!("{start}{number:0>prompt$}{end}"))
}

/// The same request from a caller.
pub(crate) fn from_caller(
    caller: usize,
    mut request: Request<Full<Bytes>>,
) -> Request<Full<Bytes>> {
    let identity = Identity::new(Proof::Jwt, "https://issuer.example", format!("caller-{caller}"));
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
    request
}

/// Runs one request to the end of its response. A layer that reads a large body yields in between and
/// then runs on at once.
pub(crate) fn run<S, B, R>(service: &mut S, request: Request<B>) -> Result<(), Error>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: Into<Error>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    if service.poll_ready(&mut cx).is_pending() {
        return Err("the service is not ready".into());
    }
    let mut future = pin!(service.call(request));
    let response = loop {
        if let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) {
            break response;
        }
    };
    if response.status() != StatusCode::OK {
        return Err(format!("rejected with {}", response.status()).into());
    }
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Err(error))) => return Err(error.into()),
            Poll::Ready(None) => break,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
    }
    Ok(())
}
