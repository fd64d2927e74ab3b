use std::{
    future::ready,
    pin::pin,
    task::{Context, Waker},
    time::UNIX_EPOCH,
};

use http::StatusCode;

use super::*;
use crate::{
    cache::{
        counts::Cost,
        entry::{State, Times},
        fields::Fields,
        generation::Start,
        key::Keys,
    },
    clock::{Clock, FakeClock},
    secret::Secret,
};

/// A server, of which it is known what it holds, and which does what it is told while it is there.
#[derive(Clone, Debug, Default)]
struct Map(Arc<Lock<Held>>);

#[derive(Debug, Default)]
struct Held {
    values: BTreeMap<Name, (Bytes, Duration)>,
    leases: BTreeMap<Name, [u8; 16]>,
    away: bool,
    /// It is told, and does not do it yet.
    slow: bool,
}

impl Map {
    fn write(&self, write: impl FnOnce(&mut Held)) -> TierFuture<bool> {
        let mut held = self.0.lock();
        if held.slow {
            return Box::pin(std::future::pending());
        }
        if !held.away {
            write(&mut held);
        }
        Box::pin(ready(!held.away))
    }

    fn edit(&self, edit: impl FnOnce(&mut Held)) {
        edit(&mut self.0.lock());
    }

    fn away(&self, away: bool) {
        self.edit(|held| held.away = away);
    }

    fn longest(&self) -> (Name, Bytes) {
        let held = self.0.lock();
        let longest = held.values.iter().max_by_key(|(_, (value, _))| value.len());
        longest.map(|(name, (value, _))| (*name, value.clone())).unwrap()
    }

    fn names(&self) -> Vec<Name> {
        self.0.lock().values.keys().copied().collect()
    }
}

impl Tier for Map {
    fn get(&self, key: Name) -> TierFuture<Option<Bytes>> {
        let held = self.0.lock();
        let value = held.values.get(&key).filter(|_| !held.away);
        Box::pin(ready(value.map(|(value, _)| value.clone())))
    }

    fn put(&self, key: Name, value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(|held| drop(held.values.insert(key, (value, ttl))))
    }

    fn put_new(&self, key: Name, value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(|held| {
            held.values.entry(key).or_insert((value, ttl));
        })
    }

    fn remove(&self, key: Name) -> TierFuture<bool> {
        self.write(|held| drop(held.values.remove(&key)))
    }

    fn lease(&self, key: Name, holder: [u8; 16], _: Duration) -> TierFuture<Leased> {
        let mut held = self.0.lock();
        let holds = *held.leases.entry(key).or_insert(holder);
        Box::pin(ready(if holds == holder { Leased::Won } else { Leased::Taken }))
    }

    fn release(&self, key: Name, holder: [u8; 16]) {
        let mut held = self.0.lock();
        if held.leases.get(&key) == Some(&holder) {
            held.leases.remove(&key);
        }
    }
}

/// One of those that share a tier.
struct Replica {
    second: Second,
    clock: FakeClock,
}

const TAGS: [Tag; 2] = [Tag(1), Tag(2)];

fn settings(map: &Map) -> SecondTier {
    SecondTier::new(map.clone(), Secret::new("secret"))
}

/// Of its own age, and with the same time of day as all others.
fn replica(settings: &SecondTier, age: u64) -> Replica {
    let clock = FakeClock::new(UNIX_EPOCH + Duration::from_secs(1_763_900_000 - age));
    clock.advance(Duration::from_secs(age));
    Replica { second: Second::new(settings), clock }
}

fn asker(tags: &[Tag]) -> Origin {
    let start = Start { begun: 0, tags: tags.into() };
    Origin { counters: Arc::default(), start, cost: Cost::default() }
}

fn at(name: &str) -> At {
    let mut making = Keys::new(b"keys").begin();
    making.part(name.as_bytes());
    (making.finish(), Variant::Plain)
}

impl Replica {
    async fn look_by(&self, name: &str, tags: &[Tag]) -> Looked {
        self.look_for(at(name), tags, Control::default()).await
    }

    async fn look_for(&self, at: At, tags: &[Tag], control: Control) -> Looked {
        let clock = SharedClock::new(self.clock.clone());
        self.second.look(Search { at, control, asker: asker(tags), clock }).await
    }

    async fn turn(&self, name: &str) -> Turn {
        match self.look_by(name, &TAGS).await {
            Looked::Nothing(turn) => turn,
            Looked::Found(_) => panic!("it is there"),
        }
    }

    async fn finds(&self, name: &str) -> bool {
        matches!(self.look_by(name, &TAGS).await, Looked::Found(_))
    }

    fn now(&self) -> Duration {
        monotonic(&SharedClock::new(self.clock.clone()))
    }

    /// Fresh for a minute, kept for two.
    fn entry(&self, body: &str, tags: &[Tag]) -> Entry {
        let now = self.now();
        let until = |seconds| now + Duration::from_secs(seconds);
        let (fresh_until, kept_until) = (until(60), until(120));
        let times = Times { made: now, fresh_until, revalidated_until: fresh_until, kept_until };
        let origin = asker(tags);
        let head = (StatusCode::OK, &Fields::default());
        Entry::new(head, (std::iter::once(body.as_bytes()), None), times, origin)
    }

    async fn keep(&self, name: &str) {
        self.turn(name).await.keep(&self.entry(name, &TAGS));
    }
}

fn both_modes(map: &Map) -> [SecondTier; 2] {
    [settings(map), settings(map).encrypted()]
}

#[tokio::test]
async fn what_one_keeps_another_finds() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let [one, other] = [10, 5_000].map(|age| replica(&settings, age));
        one.keep("a").await;
        assert!(other.finds("a").await);
        assert!(!other.finds("b").await);
        // What is stale stands in for an error, at most.
        other.clock.advance(Duration::from_secs(70));
        let entry = other.turn("a").await.fallback.clone().unwrap();
        let now = other.now();
        assert_eq!(entry.pieces.body(), "a");
        assert_eq!(entry.state(now), State::LastResort);
        assert_eq!(entry.age(now), Duration::from_secs(70));
        // One that has begun since knows how old it is, too.
        let young = replica(&settings, 0);
        young.clock.set_wall(other.clock.wall());
        let entry = young.turn("a").await.fallback.clone().unwrap();
        assert_eq!(entry.age(young.now()), Duration::from_secs(70));
        assert_eq!(entry.state(young.now()), State::LastResort);
        other.clock.advance(Duration::from_secs(50));
        assert!(other.turn("a").await.fallback.is_none(), "it is over");
        let (name, _) = map.longest();
        assert_eq!(map.0.lock().values[&name].1, Duration::from_secs(120), "it ends by itself");
        let printed = format!("{settings:?} {:?} {:?}", one.second, one.turn("c").await);
        assert!(!printed.contains("secret\""), "{printed}");
        map.edit(|held| held.values.clear());
    }
}

#[tokio::test]
async fn another_secret_finds_nothing() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let one = replica(&settings, 10);
        one.keep("a").await;
        let other = SecondTier::new(map.clone(), Secret::new("another"));
        let other = replica(&other, 10);
        assert!(!other.finds("a").await);
        // Not even under its own names.
        let (_, value) = map.longest();
        let own = other.second.0.seal.entry(at("a"));
        drop(map.put(own, value, Duration::from_secs(60)));
        assert!(!other.finds("a").await);
        assert!(one.finds("a").await);
        let [mine, yours] = [&settings, &SecondTier::new(map.clone(), Secret::new("another"))]
            .map(|settings| Second::keys(settings).begin().finish());
        assert_ne!(mine, yours);
        map.edit(|held| held.values.clear());
    }
}

#[tokio::test]
async fn whatever_happened_to_a_value_it_is_nothing() {
    let map = Map::default();
    for settings in both_modes(&map) {
        let one = replica(&settings, 10);
        one.keep("a").await;
        let (name, value) = map.longest();
        let put = |bytes: Bytes| drop(map.put(name, bytes, Duration::from_secs(60)));
        for byte in 0..value.len() {
            let mut spoilt = value.to_vec();
            spoilt[byte] ^= 0x10;
            put(spoilt.into());
            assert!(!one.finds("a").await, "byte {byte}");
            put(value.slice(..byte));
            assert!(!one.finds("a").await, "cut at {byte}");
        }
        put(vec![1; (1 << 20) + 1].into());
        assert!(!one.finds("a").await);
        put(value);
        assert!(one.finds("a").await);
        map.edit(|held| held.values.clear());
    }
}

#[tokio::test]
async fn values_that_changed_places_are_nothing() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.keep("a").await;
    one.keep("b").await;
    let seal = &one.second.0.seal;
    let [a, b] = ["a", "b"].map(|name| seal.entry(at(name)));
    let (key, _) = at("a");
    let variant = seal.entry((key, Variant::Stream));
    map.edit(|held| {
        let [of_a, of_b] = [a, b].map(|name| held.values[&name].clone());
        held.values.extend([(a, of_b), (b, of_a.clone()), (variant, of_a)]);
    });
    assert!(!one.finds("a").await && !one.finds("b").await);
    let streamed = one.look_for((key, Variant::Stream), &TAGS, Control::default()).await;
    assert!(matches!(streamed, Looked::Nothing(_)));
}

#[tokio::test]
async fn what_one_invalidates_no_one_finds() {
    type Forget = fn(&Second);
    let ways: [Forget; 4] = [
        |second| second.forget(at("a").0),
        |second| second.forget_all(Some(Tag(1))),
        |second| second.forget_all(Some(Tag(2))),
        |second| second.forget_all(None),
    ];
    for forget in ways {
        let map = Map::default();
        let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
        one.keep("a").await;
        assert!(other.finds("a").await);
        forget(&one.second);
        // By those that began after it, too.
        let third = replica(&settings(&map), 0);
        assert!(!one.finds("a").await && !other.finds("a").await && !third.finds("a").await);
        other.keep("a").await;
        assert!(one.finds("a").await && third.finds("a").await);
    }
}

#[tokio::test]
async fn another_tag_is_another_matter() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.keep("a").await;
    one.second.forget_all(Some(Tag(3)));
    one.second.forget(at("b").0);
    assert!(one.finds("a").await);
}

#[tokio::test]
async fn what_was_under_way_at_an_invalidation_is_not_found_after_it() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
    let turn = one.turn("a").await;
    other.second.forget_all(Some(Tag(2)));
    turn.keep(&one.entry("a", &TAGS));
    assert!(!one.finds("a").await && !other.finds("a").await);
}

#[tokio::test]
async fn an_answer_has_its_tags_whoever_looks() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.keep("a").await;
    let finds = async |tags: &[Tag]| matches!(one.look_by("a", tags).await, Looked::Found(_));
    assert!(finds(&[Tag(1), Tag(7)]).await && finds(&[]).await);
    one.second.forget_all(Some(Tag(2)));
    assert!(!finds(&[Tag(1), Tag(7)]).await && !finds(&[]).await);
}

#[tokio::test]
async fn what_the_tier_was_not_told_it_does_not_bring_back() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    for round in ["a", "b", "c"] {
        one.keep(round).await;
        one.keep("other").await;
        map.away(true);
        assert!(!one.finds(round).await, "it is away");
        match round {
            "a" => one.second.forget(at("a").0),
            "b" => one.second.forget_all(Some(Tag(2))),
            _ => one.second.forget_all(None),
        }
        assert!(!one.finds(round).await);
        map.away(false);
        assert!(!one.finds(round).await, "it is there again, and not yet told");
        assert!(!one.finds(round).await, "it was told");
        assert_eq!(one.finds("other").await, round == "a");
        // From then on it goes on as before.
        one.keep(round).await;
        assert!(one.finds(round).await);
        assert!(one.second.0.forgotten.lock().names.is_empty());
        map.edit(|held| held.values.clear());
    }
}

#[tokio::test]
async fn what_the_tier_has_not_done_yet_is_done_here() {
    type Forget = fn(&Second);
    let ways: [Forget; 3] = [
        |second| second.forget(at("a").0),
        |second| second.forget_all(Some(Tag(1))),
        |second| second.forget_all(None),
    ];
    for forget in ways {
        let map = Map::default();
        let [one, other] = [10, 20].map(|age| replica(&settings(&map), age));
        one.keep("a").await;
        map.edit(|held| held.slow = true);
        forget(&one.second);
        assert!(!one.finds("a").await && !one.finds("a").await);
        assert!(other.finds("a").await, "it could not know");
        let by_another_route = one.look_by("a", &[]).await;
        assert!(matches!(by_another_route, Looked::Nothing(_)));
        // Once more, which stands for the first time as well.
        map.edit(|held| held.slow = false);
        forget(&one.second);
        assert!(!one.finds("a").await && !other.finds("a").await);
        one.keep("a").await;
        assert!(one.finds("a").await && other.finds("a").await);
    }
}

#[tokio::test]
async fn too_much_that_was_not_told_is_all() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    one.keep("a").await;
    map.away(true);
    for number in 0..2_000 {
        one.second.forget(at(&number.to_string()).0);
        assert!(one.second.0.forgotten.lock().names.len() <= MOST_FORGOTTEN + 1);
    }
    map.away(false);
    assert!(!one.finds("a").await && !one.finds("a").await);
    one.keep("a").await;
    assert!(one.finds("a").await);
}

#[tokio::test]
async fn epochs_that_were_lost_or_spoilt_take_their_answers_with_them() {
    for spoilt in [false, true] {
        for epoch in 0..3 {
            let map = Map::default();
            let one = replica(&settings(&map), 10);
            one.keep("a").await;
            let (name, _) = map.longest();
            let epochs: Vec<_> = map.names().into_iter().filter(|other| *other != name).collect();
            assert_eq!(epochs.len(), 3, "of all, and of two tags");
            map.edit(|held| {
                let value = held.values.remove(&epochs[epoch]).unwrap();
                if spoilt {
                    held.values.insert(epochs[(epoch + 1) % 3], value);
                }
            });
            assert!(!one.finds("a").await);
            one.keep("a").await;
            assert!(one.finds("a").await);
        }
    }
}

#[tokio::test]
async fn nothing_is_kept_that_is_too_long() {
    let map = Map::default();
    let one = replica(&settings(&map), 10);
    let turn = one.turn("a").await;
    turn.keep(&one.entry(&"x".repeat(1 << 20), &TAGS));
    assert_eq!(map.names().len(), 3);
    one.turn("a").await.keep(&one.entry(&"x".repeat((1 << 20) - 4_096), &TAGS));
    assert!(one.finds("a").await);
}

fn leased(map: &Map) -> SecondTier {
    settings(map).lease(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn one_replica_asks_and_the_others_are_given_the_answer() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let turn = one.turn("a").await;
    let mut looking = pin!(other.look_by("a", &TAGS));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(looking.as_mut().poll(&mut cx).is_pending());
    // It concerns nobody who asks something else.
    drop(other.turn("b").await);
    turn.keep(&one.entry("a", &TAGS));
    let Looked::Found(entry) = looking.await else { panic!("not found") };
    assert_eq!(entry.pieces.body(), "a");
    assert!(map.0.lock().leases.is_empty(), "all are given back");
}

#[tokio::test(start_paused = true)]
async fn when_one_brings_nothing_the_next_asks() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let turn = one.turn("a").await;
    let mut looking = pin!(other.look_by("a", &TAGS));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(looking.as_mut().poll(&mut cx).is_pending());
    drop(turn);
    // What begins from here on is not concerned.
    one.second.forget_all(None);
    let Looked::Nothing(turn) = looking.await else { panic!("found") };
    assert_eq!(map.0.lock().leases.len(), 1, "it is the other's now");
    turn.keep(&other.entry("a", &TAGS));
    assert!(one.finds("a").await);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_the_lease() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let turn = one.turn("a").await;
    let before = tokio::time::Instant::now();
    let own = other.turn("a").await;
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    // It keeps what it brings, and gives back nothing of another's.
    own.keep(&other.entry("own", &TAGS));
    assert_eq!(map.0.lock().leases.len(), 1);
    drop(turn);
    assert!(one.finds("a").await && map.0.lock().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_waits_leaves_no_lease_behind() {
    let map = Map::default();
    let [one, other] = [10, 20].map(|age| replica(&leased(&map), age));
    let turn = one.turn("a").await;
    {
        let mut looking = pin!(other.look_by("a", &TAGS));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(looking.as_mut().poll(&mut cx).is_pending());
    }
    drop(turn);
    assert!(map.0.lock().leases.is_empty());
}
