use std::{error::Error, fmt};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Extensions, request::Parts};

use crate::{
    body::ResponseBody,
    context::RequestContext,
    error_debug::debug_as_message,
    rejection::{Rejection, RejectionFormat},
};

/// The rejection of a request by an extractor.
pub struct ExtractRejection {
    response: Box<http::Response<ResponseBody<Body>>>,
}

/// Returns the format that the service has put into the extensions of its requests. Axum's state would
/// need a type of ours, and the layers outside may have several formats.
pub(super) fn format(extensions: &Extensions) -> RejectionFormat {
    extensions.get().copied().unwrap_or_default()
}

impl ExtractRejection {
    pub(super) fn new(rejection: Rejection, parts: &Parts) -> Self {
        let context = RequestContext::of(&parts.extensions).cloned().unwrap_or_default();
        // The responder reads the headers only.
        let mut head = http::Request::new(());
        head.headers_mut().clone_from(&parts.headers);
        let responder = format(&parts.extensions).for_request(&head);
        Self { response: Box::new(responder.respond(rejection, &context)) }
    }

    pub(super) fn of_response<B>(response: http::Response<ResponseBody<B>>) -> Self
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self { response: Box::new(response.map(|body| ResponseBody::inner(Body::new(body)))) }
    }

    /// Returns the rejection.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        self.response.extensions().get()
    }
}

impl IntoResponse for ExtractRejection {
    fn into_response(self) -> Response {
        self.response.map(Body::new)
    }
}

impl fmt::Display for ExtractRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rejection().map_or("the request was rejected", Rejection::detail))
    }
}

debug_as_message!(ExtractRejection);

impl Error for ExtractRejection {}
