use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    json::{Edited, JsonEdit, apply},
    step::Step,
};
use crate::{
    body::ResponseBody,
    payload::Payload,
    rejection::{RefusalFormat, Rejection},
};

/// Edits requests on the way to the upstream, in the order in which the edits are written.
#[derive(Clone, Debug, Default)]
pub struct TransformLayer {
    steps: Arc<Vec<Step>>,
    refusals: RefusalFormat,
}

impl TransformLayer {
    /// Edits nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn step(mut self, step: Step) -> Self {
        Arc::make_mut(&mut self.steps).push(step);
        self
    }

    fn edited(&self, payload: &Payload) -> Result<Edited, Rejection> {
        let edits: Vec<&JsonEdit> = self.steps.iter().map(|Step::Json(edit)| edit).collect();
        let edited = apply(&edits, payload)?;
        let _for_now = (&edited.bytes, edited.hide_usage, self.refusals);
        Ok(edited)
    }
}

impl<S> Layer<S> for TransformLayer {
    type Service = Transform<S>;

    fn layer(&self, inner: S) -> Transform<S> {
        Transform { inner, layer: self.clone() }
    }
}

/// Made by [`TransformLayer`].
#[derive(Clone, Debug)]
pub struct Transform<S> {
    inner: S,
    layer: TransformLayer,
}

impl<S, R> Service<Request<Payload>> for Transform<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = std::future::Pending<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let _for_now = self.layer.edited(request.body());
        std::future::pending()
    }
}
