use std::sync::Arc;

use tower_layer::Layer;

use super::{
    built_in::{bounds::BuiltInSchemas, routes::BuiltInRoutes},
    compile::schema::Schema,
    request::{
        chat_limits::ChatLimits,
        parameter::Parameter,
        rules::{BodyRule, RequestRules},
    },
    response::response_schema::ResponseSchema,
    service::ValidateSchema,
};
use crate::{rejection::RejectionFormat, skip::Skip};

/// A [`Layer`] that validates requests and optionally responses. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct SchemaLayer {
    rules: Arc<RequestRules>,
    rejections: RejectionFormat,
}

impl SchemaLayer {
    /// Creates a layer that checks every body by `schema`. [`model`](Self::model) and
    /// [`route`](Self::route) add exceptions.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        Self::of(BodyRule::Schema(schema))
    }

    /// Creates a layer that checks every body by the built-in schema of its path. A body whose path
    /// has no schema passes.
    ///
    /// [`model`](Self::model) and [`route`](Self::route) take precedence.
    #[must_use]
    pub fn built_in(schemas: &BuiltInSchemas) -> Self {
        Self::of(BodyRule::BuiltInSchemas(Arc::new(BuiltInRoutes::new(schemas))))
    }

    /// Creates a layer that checks bodies by the schema of their [route](Self::route) or
    /// [model](Self::model). Other bodies are rejected with 404 `not-found`.
    #[must_use]
    pub fn by_route() -> Self {
        Self::of(BodyRule::Unlisted)
    }

    /// Creates a layer that accepts any body, also a streamed one. Use it to check only parameters
    /// or responses.
    #[must_use]
    pub fn any_body() -> Self {
        Self::of(BodyRule::Any)
    }

    /// Handles the requests of a route by `layer` or by a schema.
    /// [`RequestContext::route`](crate::context::RequestContext::route) names the route. There are
    /// no routes by default.
    ///
    /// The [`RouteLayer`](crate::route::RouteLayer) outside of this layer gives the name. A known route
    /// has its path as its name, such as `/v1/chat/completions`. A `Stack` logs a name that its
    /// `RouteLayer` does not have.
    ///
    /// Only [`rejections`](Self::rejections) of the outer layer apply to such requests. Routes
    /// inside `layer` are ignored. A second layer for a name replaces the first.
    #[must_use]
    pub fn route(mut self, name: impl Into<Box<str>>, layer: impl Into<Self>) -> Self {
        Arc::make_mut(&mut self.rules).routes.insert(name.into(), layer.into().rules);
        self
    }

    /// Checks bodies that name this model by a schema of its own. There are no such models by
    /// default.
    ///
    /// The model is the string member `model` of the body or else
    /// [`RequestContext::model`](crate::context::RequestContext::model). Names must match exactly.
    /// A name with a suffix (`:fastest`, `:together`) that has no schema uses that of the name
    /// without it. With [`any_body`](Self::any_body) all bodies must then be JSON, because the
    /// model must be known.
    #[must_use]
    pub fn model(mut self, name: impl Into<Box<str>>, schema: Schema) -> Self {
        Arc::make_mut(&mut self.rules).models.insert(name.into(), schema);
        self
    }

    /// Checks chat requests by these limits after the schema. There are no limits by default.
    ///
    /// With [`any_body`](Self::any_body) all bodies must then be JSON.
    #[must_use]
    pub fn chat_limits(mut self, limits: ChatLimits) -> Self {
        Arc::make_mut(&mut self.rules).limits = Some(limits);
        self
    }

    /// Accepts bodies that are neither JSON nor text, such as images and audio. By default a schema
    /// rejects them.
    ///
    /// Use it for routes that accept both. A body that looks like JSON must match the schema
    /// whatever its type is.
    #[must_use]
    pub fn binary_bodies(mut self) -> Self {
        Arc::make_mut(&mut self.rules).binary = true;
        self
    }

    /// Checks a header or a query parameter. There are no parameters by default.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        Arc::make_mut(&mut self.rules).parameters.push(parameter);
        self
    }

    /// Checks responses. They are not checked by default.
    #[must_use]
    pub fn response(mut self, schema: ResponseSchema) -> Self {
        Arc::make_mut(&mut self.rules).response = Some(schema);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    /// Returns the names of the routes.
    pub(crate) fn route_names(&self) -> impl Iterator<Item = &str> {
        self.rules.routes.keys().map(AsRef::as_ref)
    }

    fn of(body: BodyRule) -> Self {
        Self { rules: Arc::new(RequestRules::new(body)), rejections: RejectionFormat::Problem }
    }
}

/// Checks every body by the schema, as [`SchemaLayer::new`] does.
impl From<Schema> for SchemaLayer {
    fn from(schema: Schema) -> Self {
        Self::new(schema)
    }
}

impl<S> ValidateSchema<S> {
    /// Wraps `inner` with the defaults of [`SchemaLayer::new`].
    pub fn new(inner: S, schema: Schema) -> Self {
        SchemaLayer::new(schema).layer(inner)
    }
}

impl<S> Layer<S> for SchemaLayer {
    type Service = ValidateSchema<S>;

    fn layer(&self, inner: S) -> ValidateSchema<S> {
        ValidateSchema::from_parts(inner, Some(Arc::clone(&self.rules)), self.rejections)
    }
}

impl<S> Skip<S> for SchemaLayer {
    fn skip(inner: S) -> ValidateSchema<S> {
        ValidateSchema::from_parts(inner, None, RejectionFormat::Problem)
    }
}
