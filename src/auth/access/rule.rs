use http::Method;

use super::path_pattern::PathPattern;
use crate::identity::Callers;

/// A rule that allows some callers to use some routes.
///
/// See [`AccessRules`](super::AccessRules) for an example.
#[derive(Clone, Debug)]
pub struct AccessRule {
    pub(crate) name: Box<str>,
    pub(crate) callers: Callers,
    paths: Vec<PathPattern>,
    /// `None` stands for all.
    methods: Option<Vec<Method>>,
}

impl AccessRule {
    /// Allows `callers` to use every route. The name is for logs and explanations.
    pub fn new(name: impl Into<Box<str>>, callers: Callers) -> Self {
        Self { name: name.into(), callers, paths: Vec::new(), methods: None }
    }

    /// Adds a path to which the rule applies. By default it applies to all.
    ///
    /// `/v1/*` is every path below `/v1/`. Paths are compared byte for byte, without decoding, and
    /// without the query. A pattern starts with a slash. To reserve a route for some callers, name every
    /// other route in a rule for the others, because `/v1/*` would open it too. A path with empty or dot
    /// segments, a `;` or a backslash is below no pattern, because servers read it in different ways.
    /// The same holds for these characters, slashes, dots, percent signs and zero bytes in encoded form.
    #[must_use]
    pub fn path(mut self, pattern: &str) -> Self {
        self.paths.push(PathPattern::new(pattern));
        self
    }

    /// Sets the methods to which the rule applies. Defaults to all. An empty list allows nothing.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    pub(super) fn covers_path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.matches(path))
    }

    pub(super) fn covers_method(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }
}
