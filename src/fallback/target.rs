use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::time::Instant;

use super::health::{Firmness, Health};
use crate::{load_limit::LoadLimit, payload::Literal, stages::Stage};

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
#[derive(Clone)]
pub struct Target {
    pub(super) stage: Arc<Stage>,
    pub(super) model: Option<TargetModel>,
    pub(super) name: Arc<str>,
    is_named: bool,
    // The value of the response's header. `None` when the name is not visible ASCII.
    pub(super) header: Option<HeaderValue>,
    pub(super) group: Option<Arc<str>>,
    // The layer replaces it by the one of the group.
    pub(super) health: Arc<Health>,
    pub(super) weight: Option<u32>,
    // Without a maximum it only counts.
    pub(super) limit: LoadLimit,
    bounds: Bounds,
}

/// More requests than any machine has in flight.
const UNLIMITED: usize = usize::MAX;

/// The bounds of a limit that is set later.
#[derive(Clone, Copy)]
struct Bounds {
    max_queued: usize,
    queue_timeout: Duration,
    caller_share: u8,
}

/// The name of the model that the upstream gets.
#[derive(Clone)]
pub(super) struct TargetModel {
    pub(super) name: Arc<str>,
    pub(super) literal: Literal,
}

impl Target {
    /// Creates a target that gets requests with the model that the client named.
    #[must_use]
    pub fn new(stage: Stage) -> Self {
        let name = stage.shared_name();
        Self {
            stage: Arc::new(stage),
            model: None,
            header: header_value(&name),
            name,
            is_named: false,
            group: None,
            health: Arc::default(),
            weight: None,
            limit: LoadLimit::new(UNLIMITED),
            bounds: Bounds {
                max_queued: 64,
                queue_timeout: Duration::from_secs(30),
                caller_share: 25,
            },
        }
    }

    /// Sets the model that the stage gets in place of the one that the client named.
    ///
    /// The notation is that of the upstream, such as `org/name:together` at the router.
    #[must_use]
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        let name = model.into();
        if !self.is_named {
            self.name = format!("{}/{name}", self.stage.name()).into();
            self.header = header_value(&self.name);
        }
        self.count_alone();
        self.model = Some(TargetModel { literal: Literal::from(&*name), name });
        self.health = Arc::default();
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
        self.count_alone();
        self.header = header_value(&self.name);
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

    /// Sets the share of the requests that begin with this target, among neighbours of its
    /// [group](Self::group).
    ///
    /// With weights 3 and 1, three of four requests begin with the first target. The other one follows
    /// if it fails. A target of weight 0 is tried after the others. By default the targets of a group
    /// are tried in their order. If one of them has a weight, 1 is the weight of those without.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Sets how many requests may be in flight at this target. A request is in flight until its response
    /// body ends.
    ///
    /// By default there is no maximum beside that of `UpstreamLayer`. Clones of this target share it. A
    /// full target is skipped while another one is left. If all are full, the request
    /// [waits](Self::max_queued) for the first one whose queue has a place.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.limit = LoadLimit::new(requests);
        self.with_bounds()
    }

    /// Sets how many requests may wait for this target while it has its maximum
    /// [in flight](Self::max_in_flight).
    ///
    /// Defaults to 64. A request beyond goes to the next target. Without one it is rejected with 503
    /// `overloaded` at once.
    #[must_use]
    pub fn max_queued(mut self, requests: usize) -> Self {
        self.bounds.max_queued = requests;
        self.with_bounds()
    }

    /// Sets how long a request may wait for this target. Later it goes to the next target or is rejected
    /// with 503 `overloaded`.
    ///
    /// Defaults to 30 seconds.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.queue_timeout = timeout;
        self.with_bounds()
    }

    /// Sets the share of the places in percent, in flight and in the queue, that one caller may take
    /// while less than a quarter of them is free.
    ///
    /// Defaults to 25, as in `UpstreamLayer`. Values above 100 mean 100. A caller may always take one
    /// place. Set 100 for a gateway with a single caller, which otherwise leaves a quarter of the places
    /// unused. A caller is a principal. Requests without an identity have no share and wait in one line.
    #[must_use]
    pub fn caller_share(mut self, percent: u8) -> Self {
        self.bounds.caller_share = percent;
        self.with_bounds()
    }

    fn with_bounds(mut self) -> Self {
        let Bounds { max_queued, queue_timeout, caller_share } = self.bounds;
        if self.limit.max() < UNLIMITED {
            let limit = self.limit.max_queued(max_queued).queue_timeout(queue_timeout);
            self.limit = limit.caller_share(caller_share);
        }
        self
    }

    /// Counts apart from the target that this one was cloned from. A maximum is shared.
    fn count_alone(&mut self) {
        if self.limit.max() == UNLIMITED {
            self.limit = LoadLimit::new(UNLIMITED);
        }
    }

    /// Returns whether fewer requests than the maximum are in flight.
    pub(super) fn has_permit(&self) -> bool {
        self.limit.taken() < self.limit.max()
    }

    /// Returns whether a request may start or wait.
    pub(super) fn has_place(&self) -> bool {
        let limit = &self.limit;
        self.has_permit() || limit.max() > 0 && limit.waiting() < self.bounds.max_queued
    }

    pub(crate) const fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Returns the requests in flight and those that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.limit.taken(), self.limit.waiting())
    }

    /// Returns whether the target is avoided after failures.
    pub(crate) fn cools_down(&self) -> bool {
        let now = Instant::now();
        [Firmness::Hard, Firmness::Soft].iter().any(|own| self.health.until(*own, now).is_some())
    }

    /// Returns whether both are of one group.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.health, &other.health)
    }
}

/// Returns a name as the value of a header. Its clones share their bytes.
fn header_value(name: &str) -> Option<HeaderValue> {
    if !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let value = HeaderValue::from_str(name).ok()?;
    // The first clone is the one that allocates.
    let _clone = value.clone();
    Some(value)
}

/// Writes the name.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("stage", &self.stage)
            .field("model", &self.model.as_ref().map(|model| &model.name))
            .field("group", &self.group)
            .field("weight", &self.weight)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
