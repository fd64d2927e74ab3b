use std::{borrow::Cow, sync::Arc};

use http::Method;
use tower_layer::Layer;

use super::{
    service::NameRoute,
    table::{Listed, Routes},
};
use crate::{model::Profile, rejection::RejectionFormat, skip::Skip};

/// A [`Layer`] that opens routes and names them. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct RouteLayer {
    routes: Arc<Routes>,
    rejections: RejectionFormat,
}

impl RouteLayer {
    /// Creates a layer that opens the [known routes](super#routes) and those that were added to
    /// `profile`. Other requests are rejected.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self::of(Routes::Listed(Listed::new(profile)))
    }

    /// Creates a layer that gives each request this name. It rejects nothing.
    ///
    /// Use it when a router of yours has chosen the route.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Routes::Named(name.into()))
    }

    /// Opens a path for a method under a name. Call it once for each method.
    ///
    /// It replaces the known route of this path. The form of the path in the profile decides how
    /// [`PayloadLayer::by_route`](crate::payload::PayloadLayer::by_route) reads its bodies. It has no
    /// effect on a [`named`](Self::named) layer.
    ///
    /// ```
    /// use http::Method;
    /// use tower_inference::{model::Profile, route::RouteLayer};
    ///
    /// let layer = RouteLayer::new(&Profile::compatible())
    ///     .route(Method::POST, "/v1/chat/completions", "chat")
    ///     .route(Method::GET, "/info", "info");
    /// ```
    #[must_use]
    pub fn route(
        mut self,
        method: Method,
        path: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        if let Routes::Listed(listed) = Arc::make_mut(&mut self.routes) {
            listed.add(method, path.into(), name.into());
        }
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    /// Returns the profile of the upstream unless the layer is [`named`](Self::named).
    #[cfg(feature = "hf")]
    pub(crate) fn profile(&self) -> Option<&Profile> {
        match &*self.routes {
            Routes::Listed(listed) => Some(listed.profile()),
            Routes::Named(_) => None,
        }
    }

    /// Returns whether a request can get this name.
    #[cfg(feature = "schema")]
    pub(crate) fn has_name(&self, name: &str) -> bool {
        match &*self.routes {
            Routes::Listed(listed) => listed.has_name(name),
            Routes::Named(only) => only == name,
        }
    }

    fn of(routes: Routes) -> Self {
        Self { routes: Arc::new(routes), rejections: RejectionFormat::Problem }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = NameRoute<S>;

    fn layer(&self, inner: S) -> NameRoute<S> {
        NameRoute::from_parts(inner, Some(Arc::clone(&self.routes)), self.rejections)
    }
}

impl<S> Skip<S> for RouteLayer {
    fn skip(inner: S) -> NameRoute<S> {
        NameRoute::from_parts(inner, None, RejectionFormat::Problem)
    }
}
