//! The open routes of the gateway itself.

use axum::{
    body::{Bytes, HttpBody},
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
};
use tower_inference::{auth::ResourceMetadata, body::ResponseBody};

use crate::{head, monitor::Page, ready::Ready};

/// The open routes and what they tell.
#[derive(Clone)]
pub(crate) struct OpenRoutes {
    ready: Ready,
    /// The path and the document of RFC 9728.
    metadata: Option<(Box<str>, Bytes)>,
    /// On the listener for operators.
    metrics: Option<Page>,
}

impl OpenRoutes {
    pub(crate) fn new(ready: Ready, metadata: Option<&ResourceMetadata>) -> Self {
        let metadata = metadata.map(|metadata| (metadata.path().into(), metadata.document()));
        Self { ready, metadata, metrics: None }
    }

    /// Returns the routes for operators: the probes and the metrics.
    pub(crate) fn admin(self, metrics: Page) -> Self {
        Self { metrics: Some(metrics), metadata: None, ..self }
    }

    fn text(&self, path: &str) -> Option<(StatusCode, &'static str, Bytes)> {
        const PLAIN: &str = "text/plain; charset=utf-8";
        if let Some((own, document)) = &self.metadata
            && **own == *path
        {
            return Some((StatusCode::OK, "application/json", document.clone()));
        }
        if let Some(metrics) = self.metrics.as_ref().filter(|_| path == "/metrics") {
            // Version 0.0.4 of the text format.
            const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
            return Some((StatusCode::OK, EXPOSITION, metrics.render().into()));
        }
        let (status, text) = match path {
            "/healthz" => (StatusCode::OK, "ok\n"),
            "/readyz" => match self.ready.check() {
                Ok(()) => (StatusCode::OK, "ready\n"),
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => return None,
        };
        Some((status, PLAIN, Bytes::from_static(text.as_bytes())))
    }
}

/// Responds to a request of an open route. It gets no id and no log record. `None` for all other
/// paths.
pub(crate) fn response<T, B>(
    request: &Request<T>,
    routes: &OpenRoutes,
) -> Option<Response<ResponseBody<B>>>
where
    B: HttpBody<Data = Bytes>,
{
    let (status, content_type, text) = routes.text(request.uri().path())?;
    if let Some(refused) = head::refused(request) {
        return Some(refused);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
        return Some(response);
    }
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Some(response)
}
