use std::{fmt, sync::Arc};

use crate::stages::Stage;

/// An upstream that may serve a request: a stage and the name of the model there.
///
/// ```
/// # use tower_inference::{hf::{Stage, TokenSource}, secret::Secret};
/// use tower_inference::{fallback::Target, model::Profile};
///
/// # let token = TokenSource::value(Secret::new("hf_example"))?;
/// let router = Stage::new("router", "https://router.huggingface.co".parse()?, token)
///     .profile(Profile::router());
/// let target = Target::new(router).model("openai/gpt-oss-20b:together");
/// assert_eq!(target.to_string(), "router/openai/gpt-oss-20b:together");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) stage: Arc<Stage>,
    pub(super) model: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    is_named: bool,
    pub(super) group: Option<Arc<str>>,
    pub(super) weight: u32,
    pub(super) max_in_flight: Option<usize>,
    pub(super) max_queued: usize,
}

impl Target {
    /// Creates a target that gets requests with the model that the client named.
    #[must_use]
    pub fn new(stage: Stage) -> Self {
        let name = stage.shared_name();
        Self {
            stage: Arc::new(stage),
            model: None,
            name,
            is_named: false,
            group: None,
            weight: 1,
            max_in_flight: None,
            max_queued: 64,
        }
    }

    /// Sets the model that the stage gets in place of the one that the client named.
    ///
    /// The notation is that of the upstream, such as `org/name:together` at the router.
    #[must_use]
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        if !self.is_named {
            self.name = format!("{}/{model}", self.stage.name()).into();
        }
        self.model = Some(model);
        self
    }

    /// Sets the name for the response's header, for logs and for [`Outcome::abandoned`].
    ///
    /// Defaults to the name of the stage, followed by the model if there is one. Clients see it unless
    /// the [header](super::FallbackLayer::without_target_header) is turned off.
    ///
    /// [`Outcome::abandoned`]: crate::context::Outcome::abandoned
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        (self.name, self.is_named) = (name.into(), true);
        self
    }

    /// Names the upstream that this target shares with others, such as one account at the router.
    ///
    /// A 429, a 503 or a failed connection of one member concerns all: the rest of the group gets no
    /// attempt of that request, and its members cool down together. By default a target has a group of
    /// its own.
    #[must_use]
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Sets the share of the requests that begin with this target, among neighbours of its group.
    ///
    /// Defaults to 1. With weights 3 and 1, three of four requests begin with the first target. The
    /// other one follows if it fails. Zero is only ever tried after the others.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets how many requests may be in flight at this target. A request is in flight until its response
    /// body ends.
    ///
    /// By default there is no maximum beside that of `UpstreamLayer`. A full target is skipped while
    /// another one is left. If all are full, the request [waits](Self::max_queued) for its first choice.
    #[must_use]
    pub const fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = Some(requests);
        self
    }

    /// Sets how many requests may wait for this target while it has its maximum
    /// [in flight](Self::max_in_flight).
    ///
    /// Defaults to 64. A request beyond is rejected with 503 `overloaded` at once.
    #[must_use]
    pub const fn max_queued(mut self, requests: usize) -> Self {
        self.max_queued = requests;
        self
    }
}

/// Writes the name.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
