use std::sync::Arc;

use http::{HeaderName, Method, Request, Version};

use crate::{
    hop_by_hop::strip_headers,
    rejection::{Refusal, Rejection, RejectionFormat},
    stages::Stage,
    stripped_headers::is_stripped,
};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The stage of requests for which no layer outside has chosen one.
    pub(super) stage: Stage,
    // The usual `None` costs nothing to clone.
    pub(super) allowed: Option<Arc<[HeaderName]>>,
    pub(super) format: RejectionFormat,
}

impl Settings {
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage, allowed: None, format: RejectionFormat::default() }
    }
}

/// Points the request at the stage's origin, removes what must not leave and sets the token.
pub(super) fn prepare<B>(request: &mut Request<B>, stage: &Stage) -> Result<(), Rejection> {
    let forbidden = |detail| Rejection::new(Refusal::Forbidden).with_detail(detail);
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(forbidden("the methods CONNECT and TRACE are not forwarded"));
    }
    if !stage.takes(request.method(), request.uri().path()) {
        return Err(Rejection::new(Refusal::NotFound).with_detail(
            "the upstream has no such route of inference; compare the path with its API",
        ));
    }
    stage.redirect(request).ok_or_else(|| forbidden("the request target needs a path"))?;
    *request.version_mut() = Version::HTTP_11;
    strip_headers(request.headers_mut(), |name| is_stripped(name.as_str()));
    stage.insert_headers(request);
    Ok(())
}
