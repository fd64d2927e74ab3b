//! The open routes of the gateway itself.

use axum::{
    body::{Bytes, HttpBody},
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
};
use tower_inference::body::ResponseBody;

use crate::{head, ready::Ready};

/// Responds to a probe. Probes get no id and no log record. `None` for all other paths.
pub(crate) fn response<T, B>(
    request: &Request<T>,
    ready: &Ready,
) -> Option<Response<ResponseBody<B>>>
where
    B: HttpBody<Data = Bytes>,
{
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if ready.is() => (StatusCode::OK, "ready\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "the issuer's keys are not loaded yet\n"),
        _ => return None,
    };
    if let Some(refused) = head::refused(request) {
        return Some(refused);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
        return Some(response);
    }
    let mut response = Response::new(ResponseBody::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    Some(response)
}
