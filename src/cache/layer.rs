use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, Request};
use tower_layer::Layer;

use super::{
    Cache, CacheCounts, Cacheable, Scope, SecondTier, Unauthorized,
    ask::{Ask, model_tag, route_tag, tags, tenant_tag},
    codec::monotonic,
    counts::{Counters, Counts},
    entry::{Entry, State},
    flights::{Entered, Flights},
    function::Function,
    generation::{Generations, Start, Tag},
    key::{At, Keys, Variant},
    memory::Memory,
    second::Second,
    settings::Settings,
    variants::converted,
};
use crate::{
    clock::SharedClock, context::RequestContext, identity::Identity, memory_limit::MemoryLimit,
    payload::Payload, rejection::RejectionFormat, secret::Secret,
};

/// Keeps answers, and shares those that are under way. See the [module](super).
///
/// Clones, and the services it makes, share what is kept and what is under way.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    settings: Arc<Settings>,
    kept: Arc<Kept>,
}

/// What clones share.
#[derive(Debug)]
struct Kept {
    memory: Memory,
    generations: Generations,
    flights: Flights,
    counts: Counts,
}

/// How many names are remembered to be invalid. One more invalidates all.
const MOST_INVALID: usize = 1_024;

impl CacheLayer {
    /// Keeps answers of the upstream that is called `namespace`, for those that `scope` lets share
    /// them. Two upstreams that answer alike requests differently must have two names.
    #[must_use]
    pub fn new(namespace: impl Into<Box<str>>, scope: Scope) -> Self {
        let mut secret = [0; 32];
        // The standard library's keys are the system's randomness, once a thread.
        for (part, byte) in secret.chunks_exact_mut(8).zip(0_u8..) {
            part.copy_from_slice(&RandomState::new().hash_one(byte).to_ne_bytes());
        }
        let settings = Settings::new(namespace.into(), scope, Keys::new(&secret));
        Self { kept: Arc::new(Kept::new(&settings)), settings: Arc::new(settings) }
    }

    /// For how long answers are kept: five minutes by default. Zero keeps none, and shares none
    /// while they are under way, unless [all are](Self::coalesce_all).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings_mut().ttl.all = ttl;
        self
    }

    /// The same for requests of one route, by its name in the
    /// [`RequestContext`](RequestContext::route).
    #[must_use]
    pub fn ttl_of_route(mut self, route: impl Into<Box<str>>, ttl: Duration) -> Self {
        self.settings_mut().ttl.routes.insert(route.into(), ttl);
        self
    }

    /// The same for requests that ask for one model, by its name in the
    /// [`RequestContext`](RequestContext::model). It stands over that of a route.
    #[must_use]
    pub fn ttl_of_model(mut self, model: impl Into<Box<str>>, ttl: Duration) -> Self {
        self.settings_mut().ttl.models.insert(model.into(), ttl);
        self
    }

    /// Lets the answer say for how long it is kept, by `s-maxage`, `max-age`,
    /// `stale-while-revalidate` and `stale-if-error` of its `cache-control`. What it does not say is
    /// as by the other settings. By default, it can forbid to be kept, and nothing else.
    #[must_use]
    pub fn ttl_from_answers(mut self) -> Self {
        self.settings_mut().ttl.from_answer = true;
        self
    }

    /// Which requests may be answered by what others were answered:
    /// [`Cacheable::deterministic`] by default.
    #[must_use]
    pub fn cacheable(mut self, cacheable: Cacheable) -> Self {
        self.settings_mut().cacheable = cacheable;
        self
    }

    /// Lets requests that come while the same is under way share its answer, also where it is not
    /// kept. By default, only those do whose answers may be kept.
    #[must_use]
    pub fn coalesce_all(mut self) -> Self {
        self.settings_mut().coalesce_all = true;
        self
    }

    /// For how long after its time an answer is still given while a new one is fetched: not at all
    /// by default.
    ///
    /// There is no task in the background: of those who come then, the first fetches and waits, and
    /// the others are given the stale answer.
    #[must_use]
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.settings_mut().stale_while_revalidate = time;
        self
    }

    /// For how long after its time an answer is still given in place of an error: not at all by
    /// default. Errors are those of the inner service, and the statuses 500, 502, 503 and 504 (RFC
    /// 5861 section 4), rejections of this crate among them.
    #[must_use]
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.settings_mut().stale_if_error = time;
        self
    }

    /// Members of the body's root that make no difference: `user`, `metadata`, … None by default.
    #[must_use]
    pub fn ignore_members<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings_mut().ignored.extend(names.into_iter().map(Into::into));
        self
    }

    /// Fields of the request that make a difference, besides `accept`, `anthropic-beta`,
    /// `anthropic-version`, `openai-beta` and `x-use-cache`. An answer that says, by `vary`, that it
    /// depends on any other is not kept.
    #[must_use]
    pub fn fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings_mut().fields.extend(names);
        self
    }

    /// The members of the query that make a difference, in the order in which they come. By
    /// default, all of the query does, as it is written.
    #[must_use]
    pub fn query<T: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings_mut().query = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Maps a request to another one whose answer it may be given: `None` for those that stand for
    /// themselves. Nothing by default.
    ///
    /// Whoever maps by meaning, and not by words, answers some who asked something else. What goes
    /// upstream is what was asked. It runs inside of `call`: it must neither block nor panic.
    #[must_use]
    pub fn canonical(
        mut self,
        map: impl Fn(&Request<Payload>) -> Option<Payload> + Send + Sync + 'static,
    ) -> Self {
        self.settings_mut().canonical = Some(Function::new(Arc::new(map)));
        self
    }

    /// A number that changes when a rule further in does, so that nothing is answered that it would
    /// forbid. Zero by default.
    #[must_use]
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.settings_mut().epoch = epoch;
        self
    }

    /// The secret by which keys are made. By default, one of this layer's own, so that no two
    /// processes have a key in common.
    #[must_use]
    pub fn secret(mut self, secret: &Secret) -> Self {
        self.settings_mut().keys = Keys::new(secret.expose().as_bytes());
        self
    }

    /// Keeps answers in a second place, too, in which replicas find each other's and which outlives
    /// the process: none by default. Its secret makes the keys, as [`secret`](Self::secret) does.
    ///
    /// It is looked into where memory has nothing that the request takes, on behalf of all who wait
    /// for the same. What it has is kept in memory from then on.
    #[must_use]
    pub fn second_tier(mut self, tier: SecondTier) -> Self {
        let settings = self.settings_mut();
        settings.keys = Second::keys(&tier);
        settings.second = Some(Second::new(&tier));
        self
    }

    /// Whose `cache-control` is obeyed. Nobody's by default: whoever can ask for a new answer can
    /// have the upstream called as often as they like.
    #[must_use]
    pub fn may_control(mut self, may: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        self.settings_mut().may_control = Some(Function::new(Arc::new(may)));
        self
    }

    /// What becomes of the `cache-control` of all others: [`Unauthorized::Ignore`] by default.
    #[must_use]
    pub fn unauthorized(mut self, unauthorized: Unauthorized) -> Self {
        self.settings_mut().unauthorized = unauthorized;
        self
    }

    /// Whether callers are told how the cache had part in their answers, by `cache-status` (RFC
    /// 9211) and `age`. By default, only under [`Scope::Identity`]: in a wider scope it tells one
    /// caller what another has asked.
    #[must_use]
    pub fn cache_status(mut self, shown: bool) -> Self {
        self.settings_mut().shown = Some(shown);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        self.settings_mut().rejections = format;
        self
    }

    /// The largest answer that is kept, in bytes: 1 MiB by default, as API Gateway has it. Each
    /// chunk counts some 32 bytes more. It bounds the memory of what is under way, too: an answer
    /// that is larger can no longer be joined.
    ///
    /// What was kept so far is forgotten.
    #[must_use]
    pub fn max_entry(mut self, bytes: u64) -> Self {
        self.settings_mut().max_entry = bytes;
        self.kept = Arc::new(Kept::new(&self.settings));
        self
    }

    /// Keeps answers whose bodies are longer than so many bytes compressed in memory (zstd), where that
    /// saves an eighth at least: none by default.
    ///
    /// They are compressed by whoever reads the end of an answer, and decompressed by each who is given
    /// it again, whole: both take that thread for as long. Answers are given in the very chunks in which
    /// they came either way.
    #[cfg(feature = "cache-compression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache-compression")))]
    #[must_use]
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.settings_mut().compress_above = Some(bytes);
        self
    }

    /// How much memory what is kept may take, in bytes: 64 MiB by default. The entries' places in the
    /// tables count as well.
    ///
    /// What was kept so far is forgotten.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings_mut().max_bytes = bytes;
        self.kept = Arc::new(Kept::new(&self.settings));
        self
    }

    /// How many answers may be under way that can be shared: 1,024 by default, as many as
    /// `UpstreamLayer` lets be in flight. Requests beyond are neither shared nor kept.
    #[must_use]
    pub fn flights(mut self, flights: usize) -> Self {
        self.settings_mut().flights = flights;
        self
    }

    /// How many may share an answer that is under way, besides the one who asked for it: 4,096 by
    /// default. Those beyond call the upstream themselves.
    #[must_use]
    pub fn followers(mut self, followers: usize) -> Self {
        self.settings_mut().followers = followers;
        self
    }

    /// By how many bytes the fastest reader of an answer that is too large to be kept may be ahead
    /// of the slowest: 256 KiB by default.
    #[must_use]
    pub fn window(mut self, bytes: usize) -> Self {
        self.settings_mut().window = bytes;
        self
    }

    /// Sets for how long slow readers may keep the other readers of such a response waiting, in all
    /// and whichever of them is slow. Defaults to 5 seconds.
    ///
    /// Each time the others wait for a reader that has fallen behind by the [window](Self::window),
    /// a quarter of what is left of this time may pass. Then the reader is cut: its body ends with
    /// [`BodyError::TooSlow`](super::BodyError::TooSlow). A request that was not given a response
    /// yet calls the upstream itself.
    #[must_use]
    pub fn slowest_deadline(mut self, deadline: Duration) -> Self {
        self.settings_mut().slowest_deadline = deadline;
        self
    }

    /// Sets the limit on the memory that all shared calls in flight take together. Defaults to a limit
    /// of 128 MiB.
    ///
    /// A shared call takes 8 KiB, and what its response holds in memory: a recording, or what waits
    /// for slow readers. Beyond the limit, a request calls the upstream without sharing and without
    /// storing the response. A shared call that is already in flight is no longer stored, admits no
    /// more readers, and its readers go on in step.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.settings_mut().memory = limit;
        self
    }

    /// The clock that tells when answers are stale. The system's by default.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.settings_mut().clock = clock;
        self
    }

    /// Forgets what a request like this one would be answered with, and what is under way for it:
    /// the same key, in all its variants. What is needed of the request is all that the key is made
    /// of, its [`RequestContext`] with the identity included.
    pub fn invalidate(&self, request: &Request<Payload>) {
        let context = RequestContext::of(request.extensions());
        let identity = context.and_then(RequestContext::identity);
        let Some((key, _)) = self.settings.key(request, identity.as_deref()) else { return };
        if let Some(second) = &self.settings.second {
            second.forget(key);
        }
        // Twice: one variant may be told as another meanwhile.
        for variant in Variant::ALL.into_iter().chain(Variant::ALL) {
            // First the flight: what it leaves is not kept from then on.
            self.kept.flights.strike((key, variant), None);
            self.kept.memory.remove((key, variant));
        }
    }

    /// Forgets all answers of one route, and keeps none that is under way.
    pub fn invalidate_route(&self, route: &str) {
        self.forget(route_tag(&self.settings.keys, route));
    }

    /// Forgets all answers of one model: as it was asked for, as it was sent upstream, or as
    /// [`RequestContext::target`] has it.
    pub fn invalidate_model(&self, model: &str) {
        self.forget(model_tag(&self.settings.keys, model));
    }

    /// Forgets all answers of one tenant of one issuer.
    pub fn invalidate_tenant(&self, issuer: &str, tenant: &str) {
        self.forget(tenant_tag(&self.settings.keys, issuer, tenant));
    }

    /// Forgets all answers.
    pub fn invalidate_all(&self) {
        if let Some(second) = &self.settings.second {
            second.forget_all(None);
        }
        self.kept.generations.invalidate_all();
    }

    /// What the cache did, by route and model; of at most 256 pairs, and of all others together
    /// (`other`).
    #[must_use]
    pub fn counts(&self) -> Vec<CacheCounts> {
        self.kept.counts.read()
    }

    /// How much memory what is kept takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.kept.memory.bytes()
    }

    /// How many answers are kept, stale ones included.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.kept.memory.entries()
    }

    /// First in the second tier: what is found there from now on, and kept here, is none of before.
    fn forget(&self, tag: Tag) {
        if let Some(second) = &self.settings.second {
            second.forget_all(Some(tag));
        }
        self.kept.generations.invalidate(tag);
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

/// What the parts of the room ask of it.
impl CacheLayer {
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn now(&self) -> Duration {
        monotonic(&self.settings.clock)
    }

    /// By what a call that begins now can be invalidated.
    pub(super) fn start(&self, request: &Request<Payload>, context: &RequestContext) -> Start {
        // The clock first: what is invalidated from now on is invalid.
        let begun = self.kept.generations.now();
        Start { begun, tags: tags(&self.settings.keys, request, context) }
    }

    pub(super) fn counters(&self, context: &RequestContext) -> Arc<Counters> {
        let (route, model) = (context.route(), context.model());
        self.kept.counts.of(route.unwrap_or_default(), model.unwrap_or_default())
    }

    /// What is kept, be it in another variant.
    pub(super) fn find(&self, ask: &Ask, now: Duration) -> Option<(Entry, State)> {
        let found = |at| self.kept.memory.find(at, now, &self.kept.generations);
        if let Some(found) = found(ask.at) {
            return Some(found);
        }
        let (key, variant) = ask.at;
        let others = Variant::ALL.into_iter().filter(|other| ask.chat && *other != variant);
        let mut finished = others.filter_map(|other| Some((other, found((key, other))?)));
        finished.find_map(|(other, (entry, state))| {
            let entry = converted(&entry, other, variant)?;
            self.kept.memory.keep(ask.at, entry.clone(), self.settings.compress_above);
            // Whoever forgot the one meanwhile may have looked before the other was there.
            if found((key, other)).is_none() {
                self.kept.memory.remove(ask.at);
            }
            Some((entry, state))
        })
    }

    /// Joins what is under way, or begins it.
    pub(super) fn enter(&self, ask: &Ask, start: &Start) -> Entered<Entry> {
        let Settings { flights: most, memory: limit, .. } = &*self.settings;
        let limits = (*most, self.settings.bounds(), limit);
        let Kept { memory, generations, flights, .. } = &*self.kept;
        flights.enter(ask.at, limits, start, generations, || {
            let now = self.now();
            let (entry, _) = memory.find(ask.at, now, generations)?;
            ask.control.takes(&entry, now).then_some(entry)
        })
    }

    pub(super) fn is_flying(&self, at: At) -> bool {
        self.kept.flights.is_flying(at)
    }

    pub(super) fn strike(&self, at: At, number: u64) {
        self.kept.flights.strike(at, Some(number));
    }

    /// Keeps what a flight has brought, unless it was invalidated.
    pub(super) fn keep(&self, at: At, number: u64, entry: Entry) -> bool {
        let Kept { memory, generations, flights, .. } = &*self.kept;
        let holds = generations.holds(entry.origin.start.begun, &entry.origin.start.tags);
        let packed = self.settings.compress_above;
        if !holds || !flights.is_listed(at, number) || !memory.keep(at, entry, packed) {
            return false;
        }
        // Whoever invalidated it meanwhile may have looked before it was there.
        let listed = flights.is_listed(at, number);
        if !listed {
            memory.remove(at);
        }
        listed
    }
}

impl Kept {
    fn new(settings: &Settings) -> Self {
        Self {
            memory: Memory::new(settings.max_bytes, settings.max_entry),
            generations: Generations::new(MOST_INVALID),
            flights: Flights::new(),
            counts: Counts::default(),
        }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache::new(inner, self.clone())
    }
}
