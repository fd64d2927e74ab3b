use std::{
    collections::BTreeMap,
    future::ready,
    pin::pin,
    task::{Context, Waker},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use http::StatusCode;

use super::{
    super::{state::MAX_PENDING, tier::Tier},
    *,
};
use crate::{
    cache::{
        counts::CallCost,
        entry::{EntryState, HeaderList, Lifetime, ResponseFacts},
        key::{KeyParts as _, Validity},
    },
    clock::{Clock, FakeClock},
    lock::Lock,
    secret::Secret,
};

/// A server that can be unavailable or slow.
#[derive(Clone, Debug, Default)]
struct Map(Arc<Lock<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    values: BTreeMap<RecordName, (Bytes, Duration)>,
    leases: BTreeMap<RecordName, [u8; 16]>,
    away: bool,
    /// Writes wait.
    slow: bool,
}

impl Map {
    fn write(&self, write: impl FnOnce(&mut Contents)) -> TierFuture<bool> {
        let mut contents = self.0.lock();
        if contents.slow {
            return Box::pin(std::future::pending());
        }
        if !contents.away {
            write(&mut contents);
        }
        Box::pin(ready(!contents.away))
    }

    fn edit(&self, edit: impl FnOnce(&mut Contents)) {
        edit(&mut self.0.lock());
    }

    fn away(&self, away: bool) {
        self.edit(|contents| contents.away = away);
    }

    fn longest(&self) -> (RecordName, Bytes) {
        let contents = self.0.lock();
        let longest = contents.values.iter().max_by_key(|(_, (value, _))| value.len());
        longest.map(|(name, (value, _))| (*name, value.clone())).unwrap()
    }

    fn names(&self) -> Vec<RecordName> {
        self.0.lock().values.keys().copied().collect()
    }
}

impl Tier for Map {
    fn get(&self, key: RecordName) -> TierFuture<Option<Bytes>> {
        let contents = self.0.lock();
        let value = contents.values.get(&key).filter(|_| !contents.away);
        Box::pin(ready(value.map(|(value, _)| value.clone())))
    }

    fn put(&self, key: RecordName, value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(|contents| drop(contents.values.insert(key, (value, ttl))))
    }

    fn put_new(&self, key: RecordName, value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(|contents| {
            contents.values.entry(key).or_insert((value, ttl));
        })
    }

    fn remove(&self, key: RecordName) -> TierFuture<bool> {
        self.write(|contents| drop(contents.values.remove(&key)))
    }

    fn lease(&self, key: RecordName, holder: [u8; 16], _: Duration) -> TierFuture<LeaseResult> {
        let mut contents = self.0.lock();
        let holds = *contents.leases.entry(key).or_insert(holder);
        Box::pin(ready(if holds == holder { LeaseResult::Granted } else { LeaseResult::Taken }))
    }

    fn release(&self, key: RecordName, holder: [u8; 16]) {
        let mut contents = self.0.lock();
        if contents.leases.get(&key) == Some(&holder) {
            contents.leases.remove(&key);
        }
    }
}

/// A replica that shares the tier.
struct Replica {
    client: TierClient,
    clock: FakeClock,
}

const TAGS: [Tag; 2] = [Tag(1), Tag(2)];

fn settings(map: &Map) -> SecondTier {
    SecondTier::new(map.clone(), Secret::new("secret"))
}

/// A replica with its own age and the wall clock of all others.
fn replica(settings: &SecondTier, age: u64) -> Replica {
    let clock = FakeClock::new(UNIX_EPOCH + Duration::from_secs(1_763_900_000 - age));
    clock.advance(Duration::from_secs(age));
    Replica { client: TierClient::new(settings), clock }
}

fn origin(tags: &[Tag]) -> Origin {
    let validity = Validity { since: 0, tags: tags.into() };
    let (cost, facts) = (CallCost::default(), ResponseFacts::default());
    Origin { counters: Arc::default(), validity, cost, facts, served: None }
}

fn key(name: &str) -> EntryKey {
    let mut hasher = KeySecret::new(b"keys").hasher();
    hasher.part(name.as_bytes());
    (hasher.finish(), Variant::Plain)
}

impl Replica {
    async fn find(&self, name: &str, tags: &[Tag]) -> TierResult {
        self.find_with(key(name), tags, CacheControl::default()).await
    }

    async fn find_with(&self, key: EntryKey, tags: &[Tag], control: CacheControl) -> TierResult {
        let clock = SharedClock::new(self.clock.clone());
        self.client.find(TierLookup { key, control, origin: origin(tags), clock }).await
    }

    async fn lease(&self, name: &str) -> UpstreamLease {
        match self.find(name, &TAGS).await {
            TierResult::NotFound(lease) => lease,
            TierResult::Found(_) => panic!("found"),
        }
    }

    async fn finds(&self, name: &str) -> bool {
        matches!(self.find(name, &TAGS).await, TierResult::Found(_))
    }

    fn now(&self) -> Duration {
        monotonic(&SharedClock::new(self.clock.clone()))
    }

    /// An entry that is fresh for one minute and expires after two.
    fn entry(&self, body: &str, tags: &[Tag]) -> Entry {
        let now = self.now();
        let until = |seconds| now + Duration::from_secs(seconds);
        let (fresh_until, expires) = (until(60), until(120));
        let revalidate_until = fresh_until;
        let lifetime = Lifetime { created: now, fresh_until, revalidate_until, expires };
        let origin = origin(tags);
        let head = (StatusCode::OK, &HeaderList::default());
        Entry::new(head, (std::iter::once(body.as_bytes()), None), lifetime, origin)
    }

    async fn store(&self, name: &str) {
        self.lease(name).await.store(&self.entry(name, &TAGS));
    }
}

fn both_modes(map: &Map) -> [SecondTier; 2] {
    [settings(map), settings(map).encrypted()]
}

#[tokio::test]
async fn replicas_find_the_entries_of_others() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let [one, other] = [10, 5_000].map(|age| replica(&settings, age));
        one.store("a").await;
        assert!(other.finds("a").await);
        assert!(!other.finds("b").await);
        // A stale entry can replace an error.
        other.clock.advance(Duration::from_secs(70));
        let entry = other.lease("a").await.fallback.clone().unwrap();
        let now = other.now();
        assert_eq!(entry.body.bytes(), "a");
        assert_eq!(entry.state(now), EntryState::ErrorFallback);
        assert_eq!(entry.age(now), Duration::from_secs(70));
        // A younger replica knows its age as well.
        let young = replica(&settings, 0);
        young.clock.set_wall(other.clock.wall());
        let entry = young.lease("a").await.fallback.clone().unwrap();
        assert_eq!(entry.age(young.now()), Duration::from_secs(70));
        assert_eq!(entry.state(young.now()), EntryState::ErrorFallback);
        other.clock.advance(Duration::from_secs(50));
        assert!(other.lease("a").await.fallback.is_none(), "expired");
        let (name, _) = map.longest();
        assert_eq!(map.0.lock().values[&name].1, Duration::from_secs(120), "the value expires");
        let printed = format!("{settings:?} {:?} {:?}", one.client, one.lease("c").await);
        assert!(!printed.contains("secret\""), "{printed}");
        map.edit(|contents| contents.values.clear());
    }
}

#[tokio::test]
async fn another_secret_finds_no_entry() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let one = replica(&settings, 10);
        one.store("a").await;
        let other = SecondTier::new(map.clone(), Secret::new("another"));
        let other = replica(&other, 10);
        assert!(!other.finds("a").await);
        // Nor if the value has the name that it expects.
        let (_, value) = map.longest();
        let own = other.client.0.seal.entry_name(key("a"));
        drop(map.put(own, value, Duration::from_secs(60)));
        assert!(!other.finds("a").await);
        assert!(one.finds("a").await);
        let [mine, yours] = [&settings, &SecondTier::new(map.clone(), Secret::new("another"))]
            .map(|settings| TierClient::key_secret(settings).hasher().finish());
        assert_ne!(mine, yours);
        map.edit(|contents| contents.values.clear());
    }
}

#[tokio::test]
async fn a_changed_value_is_not_found() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let one = replica(&settings, 10);
        one.store("a").await;
        let (name, value) = map.longest();
        let put = |bytes: Bytes| drop(map.put(name, bytes, Duration::from_secs(60)));
        for byte in 0..value.len() {
            let mut corrupt = value.to_vec();
            corrupt[byte] ^= 0x10;
            put(corrupt.into());
            assert!(!one.finds("a").await, "byte {byte}");
            put(value.slice(..byte));
            assert!(!one.finds("a").await, "cut at {byte}");
        }
        put(vec![1; (1 << 20) + 1].into());
        assert!(!one.finds("a").await);
        put(value);
        assert!(one.finds("a").await);
        map.edit(|contents| contents.values.clear());
    }
}

#[tokio::test]
async fn a_moved_value_is_not_found() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.store("a").await;
    one.store("b").await;
    let seal = &one.client.0.seal;
    let [a, b] = ["a", "b"].map(|name| seal.entry_name(key(name)));
    let (key, _) = key("a");
    let variant = seal.entry_name((key, Variant::Stream));
    map.edit(|contents| {
        let [of_a, of_b] = [a, b].map(|name| contents.values[&name].clone());
        contents.values.extend([(a, of_b), (b, of_a.clone()), (variant, of_a)]);
    });
    assert!(!one.finds("a").await && !one.finds("b").await);
    let streamed = one.find_with((key, Variant::Stream), &TAGS, CacheControl::default()).await;
    assert!(matches!(streamed, TierResult::NotFound(_)));
}

#[tokio::test]
async fn an_invalidation_concerns_all_replicas() {
    type Invalidate = fn(&TierClient);
    let ways: [Invalidate; 4] = [
        |client| client.invalidate(key("a").0),
        |client| client.invalidate_tag(Some(Tag(1))),
        |client| client.invalidate_tag(Some(Tag(2))),
        |client| client.invalidate_tag(None),
    ];
    for invalidate in ways {
        let map = Map::default();
        let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
        one.store("a").await;
        assert!(other.finds("a").await);
        invalidate(&one.client);
        // Replicas that began after the invalidation are concerned as well.
        let third = replica(&settings(&map), 0);
        assert!(!one.finds("a").await && !other.finds("a").await && !third.finds("a").await);
        other.store("a").await;
        assert!(one.finds("a").await && third.finds("a").await);
    }
}

#[tokio::test]
async fn an_invalidation_concerns_its_tag_only() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.store("a").await;
    one.client.invalidate_tag(Some(Tag(3)));
    one.client.invalidate(key("b").0);
    assert!(one.finds("a").await);
}

#[tokio::test]
async fn an_invalidation_concerns_calls_in_flight() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
    let lease = one.lease("a").await;
    other.client.invalidate_tag(Some(Tag(2)));
    lease.store(&one.entry("a", &TAGS));
    assert!(!one.finds("a").await && !other.finds("a").await);
}

#[tokio::test]
async fn an_entry_keeps_its_tags_for_other_lookups() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.store("a").await;
    let finds = async |tags: &[Tag]| matches!(one.find("a", tags).await, TierResult::Found(_));
    assert!(finds(&[Tag(1), Tag(7)]).await && finds(&[]).await);
    one.client.invalidate_tag(Some(Tag(2)));
    assert!(!finds(&[Tag(1), Tag(7)]).await && !finds(&[]).await);
}

#[tokio::test]
async fn an_unconfirmed_invalidation_hides_its_entries() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    for round in ["a", "b", "c"] {
        one.store(round).await;
        one.store("other").await;
        map.away(true);
        assert!(!one.finds(round).await, "unavailable");
        match round {
            "a" => one.client.invalidate(key("a").0),
            "b" => one.client.invalidate_tag(Some(Tag(2))),
            _ => one.client.invalidate_tag(None),
        }
        assert!(!one.finds(round).await);
        map.away(false);
        assert!(!one.finds(round).await, "available, invalidation repeated");
        assert!(!one.finds(round).await, "invalidated");
        assert_eq!(one.finds("other").await, round == "a");
        // New entries are found.
        one.store(round).await;
        assert!(one.finds(round).await);
        assert!(one.client.0.pending.lock().len() == 0);
        map.edit(|contents| contents.values.clear());
    }
}

#[tokio::test]
async fn a_slow_invalidation_hides_its_entries() {
    type Invalidate = fn(&TierClient);
    let ways: [Invalidate; 3] = [
        |client| client.invalidate(key("a").0),
        |client| client.invalidate_tag(Some(Tag(1))),
        |client| client.invalidate_tag(None),
    ];
    for invalidate in ways {
        let map = Map::default();
        let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
        one.store("a").await;
        map.edit(|contents| contents.slow = true);
        invalidate(&one.client);
        assert!(!one.finds("a").await && !one.finds("a").await);
        assert!(other.finds("a").await, "not invalidated yet");
        let by_another_route = one.find("a", &[]).await;
        assert!(matches!(by_another_route, TierResult::NotFound(_)));
        // A second invalidation replaces the first one.
        map.edit(|contents| contents.slow = false);
        invalidate(&one.client);
        assert!(!one.finds("a").await && !other.finds("a").await);
        one.store("a").await;
        assert!(one.finds("a").await && other.finds("a").await);
    }
}

#[tokio::test]
async fn too_many_pending_invalidations_invalidate_everything() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.store("a").await;
    map.away(true);
    for number in 0..2_000 {
        one.client.invalidate(key(&number.to_string()).0);
        assert!(one.client.0.pending.lock().len() <= MAX_PENDING + 1);
    }
    map.away(false);
    assert!(!one.finds("a").await && !one.finds("a").await);
    one.store("a").await;
    assert!(one.finds("a").await);
}

#[tokio::test]
async fn a_lost_or_corrupt_epoch_invalidates_its_entries() {
    for corrupt in [false, true] {
        for epoch in 0..3 {
            let map = Map::default();
            let one = replica(&settings(&map), 10);
            one.store("a").await;
            let (name, _) = map.longest();
            let epochs: Vec<_> = map.names().into_iter().filter(|other| *other != name).collect();
            assert_eq!(epochs.len(), 3, "all entries and two tags");
            map.edit(|contents| {
                let value = contents.values.remove(&epochs[epoch]).unwrap();
                if corrupt {
                    contents.values.insert(epochs[(epoch + 1) % 3], value);
                }
            });
            assert!(!one.finds("a").await);
            one.store("a").await;
            assert!(one.finds("a").await);
        }
    }
}

#[tokio::test]
async fn a_long_entry_is_not_stored() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    let lease = one.lease("a").await;
    lease.store(&one.entry(&"x".repeat(1 << 20), &TAGS));
    assert_eq!(map.names().len(), 3);
    one.lease("a").await.store(&one.entry(&"x".repeat((1 << 20) - 4_096), &TAGS));
    assert!(one.finds("a").await);
}

fn leased(map: &Map) -> SecondTier {
    settings(map).lease_timeout(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn other_replicas_wait_for_the_lease_holder() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let lease = one.lease("a").await;
    let mut lookup = pin!(other.find("a", &TAGS));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(lookup.as_mut().poll(&mut cx).is_pending());
    // Other keys are not concerned.
    drop(other.lease("b").await);
    lease.store(&one.entry("a", &TAGS));
    let TierResult::Found(entry) = lookup.await else { panic!("not found") };
    assert_eq!(entry.body.bytes(), "a");
    assert!(map.0.lock().leases.is_empty(), "all are released");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_goes_to_the_next_replica() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let lease = one.lease("a").await;
    let mut lookup = pin!(other.find("a", &TAGS));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(lookup.as_mut().poll(&mut cx).is_pending());
    drop(lease);
    // Calls that begin from now on are not concerned.
    one.client.invalidate_tag(None);
    let TierResult::NotFound(lease) = lookup.await else { panic!("found") };
    assert_eq!(map.0.lock().leases.len(), 1, "the other replica has it");
    lease.store(&other.entry("a", &TAGS));
    assert!(one.finds("a").await);
}

#[tokio::test(start_paused = true)]
async fn the_lease_timeout_bounds_the_wait() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let lease = one.lease("a").await;
    let before = tokio::time::Instant::now();
    let own = other.lease("a").await;
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    // It stores its response and does not release the lease of the other replica.
    own.store(&other.entry("own", &TAGS));
    assert_eq!(map.0.lock().leases.len(), 1);
    drop(lease);
    assert!(one.finds("a").await && map.0.lock().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lookup_holds_no_lease() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let lease = one.lease("a").await;
    {
        let mut lookup = pin!(other.find("a", &TAGS));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(lookup.as_mut().poll(&mut cx).is_pending());
    }
    drop(lease);
    assert!(map.0.lock().leases.is_empty());
}
