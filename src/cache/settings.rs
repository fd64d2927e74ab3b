use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, Request};
use tokio::time::Instant;

use super::{
    Cacheable, Scope, Unauthorized,
    entry::{Entry, State},
    flight::Bounds,
    function::Function,
    key::Keys,
    second::Second,
    status::Outcome,
    storable::Freshness,
};
use crate::{
    clock::SharedClock, context::RequestContext, identity::Identity, memory_limit::MemoryLimit,
    payload::Payload, rejection::RejectionFormat,
};

/// What a layer is told by its setters.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) namespace: Box<str>,
    pub(super) scope: Scope,
    pub(super) epoch: u64,
    pub(super) keys: Keys,
    pub(super) cacheable: Cacheable,
    pub(super) coalesce_all: bool,
    pub(super) ttl: Ttl,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    /// Members of the root that make no difference.
    pub(super) ignored: Vec<Box<str>>,
    pub(super) fields: Vec<HeaderName>,
    /// Members of the query that make a difference; `None` when all do.
    pub(super) query: Option<Vec<Box<str>>>,
    pub(super) canonical: Option<Function<Canonical>>,
    pub(super) may_control: Option<Function<MayControl>>,
    pub(super) unauthorized: Unauthorized,
    /// Whether callers are told; `None` when the scope decides.
    pub(super) shown: Option<bool>,
    pub(super) rejections: RejectionFormat,
    pub(super) max_entry: u64,
    pub(super) max_bytes: u64,
    pub(super) compress_above: Option<usize>,
    pub(super) flights: usize,
    pub(super) followers: usize,
    pub(super) window: usize,
    pub(super) slowest_deadline: Duration,
    pub(super) memory: MemoryLimit,
    pub(super) second: Option<Second>,
    pub(super) clock: SharedClock,
}

pub(super) type Canonical = dyn Fn(&Request<Payload>) -> Option<Payload> + Send + Sync;
pub(super) type MayControl = dyn Fn(&Identity) -> bool + Send + Sync;

/// For how long answers are kept.
#[derive(Clone, Debug)]
pub(super) struct Ttl {
    pub(super) all: Duration,
    pub(super) routes: BTreeMap<Box<str>, Duration>,
    pub(super) models: BTreeMap<Box<str>, Duration>,
    pub(super) from_answer: bool,
}

const MIB: u64 = 1 << 20;

/// Of all shared calls.
const MEMORY: usize = 128 << 20;

impl Settings {
    pub(super) fn new(namespace: Box<str>, scope: Scope, keys: Keys) -> Self {
        Self {
            namespace,
            scope,
            epoch: 0,
            keys,
            cacheable: Cacheable::deterministic(),
            coalesce_all: false,
            ttl: Ttl {
                all: Duration::from_secs(300),
                routes: BTreeMap::new(),
                models: BTreeMap::new(),
                from_answer: false,
            },
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ignored: Vec::new(),
            fields: keyed_fields(),
            query: None,
            canonical: None,
            may_control: None,
            unauthorized: Unauthorized::Ignore,
            shown: None,
            rejections: RejectionFormat::default(),
            max_entry: MIB,
            max_bytes: 64 * MIB,
            compress_above: None,
            flights: 1_024,
            followers: 4_096,
            window: 256 << 10,
            slowest_deadline: Duration::from_secs(5),
            memory: MemoryLimit::new(MEMORY),
            second: None,
            clock: SharedClock::default(),
        }
    }

    pub(super) fn fields(&self) -> &[HeaderName] {
        &self.fields
    }

    pub(super) const fn max_entry(&self) -> u64 {
        self.max_entry
    }

    pub(super) fn bounds(&self) -> Bounds {
        let record = usize::try_from(self.max_entry).unwrap_or(usize::MAX);
        // The originator is no follower.
        let readers = self.followers.saturating_add(1);
        Bounds {
            readers,
            record,
            window: self.window,
            patience: self.slowest_deadline,
            now: || Instant::now().into_std(),
        }
    }

    /// For how long the answer may be kept.
    pub(super) fn ttl(&self, context: &RequestContext) -> Duration {
        let of = |ttls: &BTreeMap<Box<str>, Duration>, name: Option<&str>| {
            name.and_then(|name| ttls.get(name)).copied()
        };
        of(&self.ttl.models, context.model())
            .or_else(|| of(&self.ttl.routes, context.route()))
            .unwrap_or(self.ttl.all)
    }

    /// The same, now that the answer has said what it says.
    pub(super) fn fresh_for(&self, ttl: Duration, said: Option<Duration>) -> Duration {
        said.filter(|_| self.ttl.from_answer).unwrap_or(ttl)
    }

    /// For how long after that while a new one is fetched, and in place of an error.
    pub(super) fn stale(&self, freshness: &Freshness) -> (Duration, Duration) {
        if freshness.must_revalidate {
            return (Duration::ZERO, Duration::ZERO);
        }
        let said = |said: Option<Duration>, ours: Duration| {
            said.filter(|_| self.ttl.from_answer).unwrap_or(ours)
        };
        (
            said(freshness.stale_while_revalidate, self.stale_while_revalidate),
            said(freshness.stale_if_error, self.stale_if_error),
        )
    }

    /// Whether callers are told how the cache had part in their answers.
    pub(super) fn is_shown(&self) -> bool {
        self.shown.unwrap_or_else(|| !self.scope.is_wide())
    }

    /// What callers are told, if they are.
    pub(super) fn status(&self, outcome: Outcome) -> Option<HeaderValue> {
        self.is_shown().then(|| outcome.field())
    }
}

/// Seconds for which an entry is fresh; negative once it is stale. At most what an integer of a field
/// can be (RFC 9651 section 3.3.1).
pub(super) fn ttl_of(entry: &Entry, now: Duration) -> i64 {
    const MOST: i64 = 999_999_999_999_999;
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(MOST).min(MOST);
    let fresh_until = entry.times.fresh_until;
    match entry.state(now) {
        State::Fresh => seconds(fresh_until.saturating_sub(now)),
        // Rounded up: what is stale has no time left.
        _ => -seconds(now.saturating_sub(fresh_until)).max(1),
    }
}

/// Fields that part requests besides those that the user names: they change what the servers of
/// inference answer.
fn keyed_fields() -> Vec<HeaderName> {
    ["accept", "anthropic-beta", "anthropic-version", "openai-beta", "x-use-cache"]
        .map(HeaderName::from_static)
        .into()
}
