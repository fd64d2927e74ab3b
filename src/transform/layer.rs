use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{ACCEPT_ENCODING, CONNECTION},
    request::Parts,
};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    ResponseBody, ResponseFuture,
    json::{Around, JsonEdit, apply},
    step::Step,
    target::Target,
    value::Known,
};
use crate::{
    context::RequestContext,
    hop_by_hop::strip_connection_headers,
    model::Profile,
    payload::{self, Payload},
    rejection::{Rejection, RejectionFormat},
};

/// Edits requests on the way to the upstream, in the order in which the edits are written. See the
/// [module](super).
#[derive(Clone, Debug, Default)]
pub struct TransformLayer {
    steps: Arc<Vec<Step>>,
    pub(super) binary: bool,
    profile: Arc<Profile>,
    rejections: RejectionFormat,
}

impl TransformLayer {
    /// Edits nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the kind of upstream, which tells the form of each body, the name of the output limit,
    /// and whether a stream is asked for its usage. Defaults to [`Profile::compatible`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Arc::new(profile);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    pub(super) fn step(mut self, step: Step) -> Self {
        Arc::make_mut(&mut self.steps).push(step);
        self
    }

    pub(super) fn json(mut self, edit: JsonEdit) -> Self {
        let steps = Arc::make_mut(&mut self.steps);
        match steps.last_mut() {
            Some(Step::Json(edits)) => edits.push(edit),
            _ => steps.push(Step::Json(vec![edit])),
        }
        self
    }

    /// Makes the edits. Whether the upstream was asked for a usage chunk that the caller did not
    /// ask for.
    fn edit(
        &self,
        parts: &mut Parts,
        payload: &mut Payload,
        context: &RequestContext,
    ) -> Result<bool, Rejection> {
        let mut hide_usage = false;
        let known = Known::new(context);
        let mut target = Target::default();
        for step in self.steps.iter() {
            match step {
                Step::Field(edit) => {
                    // A caller who names our field in `connection` would have it end at the next
                    // hop (RFC 9110 section 7.6.1).
                    if parts.headers.contains_key(CONNECTION) {
                        strip_connection_headers(&mut parts.headers);
                    }
                    edit.apply(&mut parts.headers, &known)?;
                }
                Step::Query(edit) => edit.apply(&mut target, &parts.uri, &known)?,
                Step::Path(edit) => edit.apply(&mut target, &parts.uri, &known)?,
                Step::Json(edits) => {
                    let around = Around {
                        path: target.path(&parts.uri),
                        query: target.query(&parts.uri),
                        headers: &parts.headers,
                        binary: self.binary,
                        profile: &self.profile,
                    };
                    let edited = apply(edits, payload, around)?;
                    hide_usage |= edited.hide_usage;
                    if let Some(bytes) = edited.bytes {
                        payload::replace(parts, payload, bytes)?;
                    }
                }
            }
        }
        target.put_into(&mut parts.uri)?;
        Ok(hide_usage)
    }
}

impl<S> Layer<S> for TransformLayer {
    type Service = Transform<S>;

    fn layer(&self, inner: S) -> Transform<S> {
        Transform { inner, layer: self.clone() }
    }
}

/// The service of [`TransformLayer`].
#[derive(Clone, Debug)]
pub struct Transform<S> {
    inner: S,
    layer: TransformLayer,
}

impl<S, R> Service<Request<Payload>> for Transform<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        if self.layer.steps.is_empty() {
            return ResponseFuture::calling(self.inner.call(request), None);
        }
        let responder = self.layer.rejections.for_request(&request);
        let (mut parts, mut payload) = request.into_parts();
        let context = RequestContext::ensure(&mut parts.extensions);
        match self.layer.edit(&mut parts, &mut payload, &context) {
            Ok(hide_usage) => {
                let hidden_from = hide_usage.then(|| {
                    context.announce_answer_is_read();
                    let identity = HeaderValue::from_static("identity");
                    parts.headers.insert(ACCEPT_ENCODING, identity);
                    context
                });
                let request = Request::from_parts(parts, payload);
                ResponseFuture::calling(self.inner.call(request), hidden_from)
            }
            Err(rejection) => ResponseFuture::refused(rejection, responder, context),
        }
    }
}
