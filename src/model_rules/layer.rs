use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{ModelRules, ResponseFuture, list::List};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    identity::Identity,
    memory_limit::MemoryLimit,
    model::{Profile, Target},
    payload::Payload,
    rejection::{Refusal, Rejection, RejectionFormat},
};

/// Lets pass what the rules allow. See the [module](super).
#[derive(Clone, Debug)]
pub struct ModelRulesLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) profile: Profile,
    pub(super) rules: ModelRules,
    open: Vec<(Method, Box<str>)>,
    pub(super) list_limit: u64,
    pub(super) memory: MemoryLimit,
    rejections: RejectionFormat,
}

impl ModelRulesLayer {
    /// Holds every request to an upstream of this `profile` to `rules`.
    #[must_use]
    pub fn new(profile: Profile, rules: ModelRules) -> Self {
        let (open, list_limit) = (Vec::new(), 10 * 1024 * 1024);
        let memory = MemoryLimit::new(64 * 1024 * 1024);
        let rejections = RejectionFormat::default();
        let settings = Settings { profile, rules, open, list_limit, memory, rejections };
        Self { settings: Arc::new(settings) }
    }

    /// Lets a route that reaches no model pass for everyone: `/health`. None by default; the list of
    /// models needs no opening.
    ///
    /// The path is compared byte for byte. Whatever the route reaches is not held to any rule.
    #[must_use]
    pub fn open(mut self, method: Method, path: impl Into<Box<str>>) -> Self {
        Arc::make_mut(&mut self.settings).open.push((method, path.into()));
        self
    }

    /// Sets how many bytes a list of models may have: 10 MiB by default. A longer one is refused
    /// with 502.
    #[must_use]
    pub fn list_limit(mut self, bytes: u64) -> Self {
        Arc::make_mut(&mut self.settings).list_limit = bytes;
        self
    }

    /// Sets the limit of memory that all lists share while they are read and sent: 64 MiB by default,
    /// for this layer and its clones. Beyond it a request for the list is refused with 503
    /// `overloaded`.
    ///
    /// A list takes twice its length. A limit that is also given to others, such as
    /// [`PayloadLayer::memory_limit`](crate::payload::PayloadLayer::memory_limit), holds for all of
    /// them together.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        Arc::make_mut(&mut self.settings).memory = limit;
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        Arc::make_mut(&mut self.settings).rejections = format;
        self
    }
}

impl<S> Layer<S> for ModelRulesLayer {
    type Service = EnforceModelRules<S>;

    fn layer(&self, inner: S) -> EnforceModelRules<S> {
        EnforceModelRules { inner, settings: Arc::clone(&self.settings) }
    }
}

/// The service of [`ModelRulesLayer`].
#[derive(Clone, Debug)]
pub struct EnforceModelRules<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, R> Service<Request<Payload>> for EnforceModelRules<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.settings.rejections.for_request(&request);
        match self.settings.decide(&request, &context) {
            Ok(Decision::Pass) => {
                ResponseFuture::passing(self.inner.call(request), responder, context)
            }
            Ok(Decision::List) => {
                let list = List::new(Arc::clone(&self.settings), &request, &context);
                ask_for_the_whole(&mut request, &context);
                ResponseFuture::listing(self.inner.call(request), list, responder, context)
            }
            Err(rejection) => ResponseFuture::refused(rejection, responder, context),
        }
    }
}

enum Decision {
    Pass,
    /// Passes, and the answer is a list to be filtered.
    List,
}

impl Settings {
    fn decide(
        &self,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Result<Decision, Rejection> {
        let caller = context.identity();
        let (method, path) = (request.method(), request.uri().path());
        if matches!(*method, Method::GET | Method::HEAD) && path == "/v1/models" {
            let Some(model) = self.profile.only_model() else { return Ok(Decision::List) };
            // Whatever the endpoint calls it there, it is the one.
            return self.judge(&Target::of(model), caller.as_deref());
        }
        if self.open.iter().any(|(open, at)| open == method && **at == *path) {
            return Ok(Decision::Pass);
        }
        let target = self.profile.target(request).map_err(|error| error.rejection())?;
        context.set_target(&target);
        self.judge(&target, caller.as_deref())
    }

    fn judge(&self, target: &Target<'_>, caller: Option<&Identity>) -> Result<Decision, Rejection> {
        if self.rules.allows(target, caller) {
            return Ok(Decision::Pass);
        }
        Err(Rejection::new(Refusal::Forbidden)
            .with_detail("this model, or this provider of it, is not allowed"))
    }
}

/// Takes out of a request for the list what would make the answer another than the whole list.
fn ask_for_the_whole(request: &mut Request<Payload>, context: &RequestContext) {
    context.announce_answer_is_read();
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
    ] {
        headers.remove(name);
    }
}
