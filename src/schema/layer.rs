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
use crate::rejection::RejectionFormat;

/// Holds requests to a schema, and their answers where that is asked for. See the [module](super).
#[derive(Clone, Debug)]
pub struct SchemaLayer {
    rules: Arc<RequestRules>,
    rejections: RejectionFormat,
}

impl SchemaLayer {
    /// Holds every body to `schema`, but for what [`model`](Self::model) and
    /// [`route`](Self::route) say otherwise.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        Self::of(BodyRule::Schema(schema))
    }

    /// Holds every body to the built-in schema of its path, as the profile tells it. A body whose
    /// path has none passes unread.
    ///
    /// [`model`](Self::model) and [`route`](Self::route) come first.
    #[must_use]
    pub fn built_in(schemas: &BuiltInSchemas) -> Self {
        Self::of(BodyRule::BuiltInSchemas(Arc::new(BuiltInRoutes::new(schemas))))
    }

    /// Holds bodies to the schema of their [route](Self::route) or [model](Self::model), and refuses
    /// those for which neither is named: 404 `not-found`.
    #[must_use]
    pub fn by_route() -> Self {
        Self::of(BodyRule::Unlisted)
    }

    /// Lets any body pass unread, also one that is streamed: for parameters and answers alone, and
    /// for routes that take other bodies.
    #[must_use]
    pub fn any_body() -> Self {
        Self::of(BodyRule::Any)
    }

    /// Handles requests of a route as `layer` would, or by a schema alone. The route is the one that
    /// [`RequestContext::route`] names; none by default.
    ///
    /// Nothing of the layer around it counts for them but [`rejections`](Self::rejections). The routes
    /// of `layer` itself do not count. Of two for one name, the later stands.
    #[must_use]
    pub fn route(mut self, name: impl Into<Box<str>>, layer: impl Into<Self>) -> Self {
        Arc::make_mut(&mut self.rules).routes.insert(name.into(), layer.into().rules);
        self
    }

    /// Holds bodies that name a model to a schema of that model's own, instead of the one for all.
    /// None by default.
    ///
    /// The model is the string member `model` of the body, or else
    /// [`RequestContext::model`]. Names are compared exactly; one with a suffix (`:fastest`,
    /// `:together`) that is not listed itself has the schema of the name without it. Under
    /// [`any_body`](Self::any_body), bodies must then be JSON, so that it is known whose they are.
    #[must_use]
    pub fn model(mut self, name: impl Into<Box<str>>, schema: Schema) -> Self {
        Arc::make_mut(&mut self.rules).models.insert(name.into(), schema);
        self
    }

    /// Holds bodies to limits of chat requests, once they hold to their schema. None by default.
    ///
    /// Under [`any_body`](Self::any_body), bodies must then be JSON.
    #[must_use]
    pub fn chat_limits(mut self, limits: ChatLimits) -> Self {
        Arc::make_mut(&mut self.rules).limits = Some(limits);
        self
    }

    /// Lets bodies pass unread that are neither JSON nor text: images, sounds, files. By default, every
    /// body that is not JSON is refused where there is a schema.
    ///
    /// For routes that take either. A body that looks like JSON is held to the schema whatever its
    /// type says.
    #[must_use]
    pub fn binary_bodies(mut self) -> Self {
        Arc::make_mut(&mut self.rules).binary = true;
        self
    }

    /// Holds a header field or a member of the query to what `parameter` says. None by default.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        Arc::make_mut(&mut self.rules).parameters.push(parameter);
        self
    }

    /// Holds answers to a schema. They are not looked at by default.
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

    fn of(body: BodyRule) -> Self {
        Self { rules: Arc::new(RequestRules::new(body)), rejections: RejectionFormat::Problem }
    }
}

/// Holds every body to the schema, as [`SchemaLayer::new`].
impl From<Schema> for SchemaLayer {
    fn from(schema: Schema) -> Self {
        Self::new(schema)
    }
}

impl<S> Layer<S> for SchemaLayer {
    type Service = ValidateSchema<S>;

    fn layer(&self, inner: S) -> ValidateSchema<S> {
        ValidateSchema::from_parts(inner, Arc::clone(&self.rules), self.rejections)
    }
}
