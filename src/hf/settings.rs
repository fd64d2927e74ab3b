use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Version, header::HOST};

use super::{origin::Origin, token::TokenSource};
use crate::{
    hop_by_hop::strip_headers,
    model::TokenHeader,
    rejection::{Refusal, Rejection, RejectionFormat},
    stripped_headers::is_stripped,
};

const X_HF_BILL_TO: HeaderName = HeaderName::from_static("x-hf-bill-to");

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) origin: Origin,
    pub(super) source: TokenSource,
    pub(super) token_header: TokenHeader,
    pub(super) bill_to: Option<HeaderValue>,
    // The usual `None` costs nothing to clone.
    pub(super) allowed: Option<Arc<[HeaderName]>>,
    pub(super) format: RejectionFormat,
}

impl Settings {
    pub(super) fn new(origin: Origin, source: TokenSource) -> Self {
        let (token_header, format) = (TokenHeader::Bearer, RejectionFormat::default());
        Self { origin, source, token_header, bill_to: None, allowed: None, format }
    }

    /// Points the request at the origin, removes what must not leave and sets the token.
    pub(super) fn prepare<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        let forbidden = |detail| Rejection::new(Refusal::Forbidden).with_detail(detail);
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(forbidden("the methods CONNECT and TRACE are not forwarded"));
        }
        let uri = self.origin.redirect(std::mem::take(request.uri_mut()));
        *request.uri_mut() = uri.ok_or_else(|| forbidden("the request target needs a path"))?;
        if let Some(permission) = self.origin.plain_http() {
            permission.allow(request);
        }
        *request.version_mut() = Version::HTTP_11;

        let headers = request.headers_mut();
        strip_headers(headers, |name| is_stripped(name.as_str()));
        headers.insert(HOST, self.origin.host());
        self.source.current().insert_into(headers, &self.token_header);
        if let Some(account) = &self.bill_to {
            headers.insert(X_HF_BILL_TO, account.clone());
        }
        Ok(())
    }
}
