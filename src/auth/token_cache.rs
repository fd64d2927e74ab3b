//! Tokens that claims, so that each is cache once.
//!
//! CacheLookup by the whole token, compared to its last byte: two tokens are never taken for one another.
//! The hash is of the signature's end only, which is as good as random, and keyed. Comparison stops at
//! the first difference, but starts only where a keyed hash is equal, so its time tells nothing of a
//! token that the asker does not have.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use quick_cache::{Equivalent, OptionsBuilder, Weighter, sync::Cache};
use zeroize::Zeroizing;

use crate::{clock::SharedClock, identity::Identity};

/// What an entry costs beside its token and its identity: its places in a table that grows by doubling.
const ENTRY_OVERHEAD: u64 = 384;

/// As many times as its claims does the identity of a usual token take.
const IDENTITY_FACTOR: usize = 6;

const MAX_SHARDS: usize = 16;

/// What the store is told to expect at most, however many bytes it may take.
const MAX_ENTRIES: usize = 1 << 24;

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Duration,
    /// Since 1970-01-01 UTC. Before that day nothing can be judged, so it counts as too late for
    /// every token.
    pub(super) wall: Duration,
}

impl ClockReading {
    pub(super) fn of(clock: &SharedClock) -> Self {
        let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX);
        Self { monotonic: clock.monotonic(), wall }
    }
}

/// When a token holds by the wall clock, leeway included: from the first, before the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValidityPeriod {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

pub(super) struct TokenCache {
    cache: Cache<CachedToken, CachedIdentity, EntryWeighter>,
}

#[derive(Clone)]
struct CachedIdentity {
    identity: Arc<Identity>,
    validity: ValidityPeriod,
    /// The same end by the monotonic clock: a wall clock that is set back moves this one not.
    until: Duration,
    generation: u64,
    /// That the identity takes.
    memory: usize,
}

pub(super) enum CacheLookup {
    Hit(Arc<Identity>),
    /// It claims, and has expired since. It stays refused while the entry stays, whatever the wall
    /// clock says.
    Expired,
    /// To be cache. If it claims before, with other keys, it ends no later than this.
    Miss {
        until: Option<Duration>,
    },
}

impl TokenCache {
    /// At most `bytes`, for tokens of at most `longest` bytes.
    pub(super) fn new(bytes: u64, longest: usize) -> Self {
        // A store refuses what is heavier than one of its shards.
        let heaviest = weight(longest, longest.saturating_mul(IDENTITY_FACTOR)).saturating_mul(2);
        let mut shards = MAX_SHARDS;
        while shards > 1 && bytes / (shards as u64) < heaviest {
            shards /= 2;
        }
        let typical = weight(1_024, 768 * IDENTITY_FACTOR);
        let entries = usize::try_from(bytes / typical).unwrap_or(usize::MAX);
        let entries = entries.clamp(32 * shards, MAX_ENTRIES);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(entries)
            .weight_capacity(bytes)
            .build();
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, EntryWeighter, Default::default(), Default::default())
            }
            // Both capacities are set, which is all that it asks.
            Err(_) => Cache::with_weighter(entries, bytes, EntryWeighter),
        };
        Self { cache }
    }

    pub(super) fn get(&self, token: &[u8], generation: u64, now: ClockReading) -> CacheLookup {
        let Some(entry) = self.cache.get(&TokenBytes(token)) else {
            return CacheLookup::Miss { until: None };
        };
        if now.monotonic >= entry.until || now.wall >= entry.validity.until {
            return CacheLookup::Expired;
        }
        if entry.generation != generation || now.wall < entry.validity.from {
            return CacheLookup::Miss { until: Some(entry.until) };
        }
        CacheLookup::Hit(entry.identity)
    }

    /// Keeps a token that was cache at `now` with the keys of `generation`.
    pub(super) fn insert(
        &self,
        token: &[u8],
        claims: VerifiedClaims,
        generation: u64,
        now: ClockReading,
        until: Option<Duration>,
    ) {
        let VerifiedClaims { identity, validity } = claims;
        let memory = identity.memory();
        let left = validity.until.saturating_sub(now.wall);
        let ends = now.monotonic.saturating_add(left);
        let until = until.map_or(ends, |until| until.min(ends));
        let entry = CachedIdentity { identity, validity, until, generation, memory };
        self.cache.insert(CachedToken(Zeroizing::new(token.into())), entry);
    }
}

/// What was found out about a token that holds.
pub(super) struct VerifiedClaims {
    pub(super) identity: Arc<Identity>,
    pub(super) validity: ValidityPeriod,
}

// === Keys of the store ===

/// A token, wiped when the store lets it go.
struct CachedToken(Zeroizing<Box<[u8]>>);

/// A token that is asked for.
struct TokenBytes<'a>(&'a [u8]);

impl Equivalent<CachedToken> for TokenBytes<'_> {
    fn equivalent(&self, token: &CachedToken) -> bool {
        *self.0 == **token.0
    }
}

impl Eq for CachedToken {}

impl PartialEq for CachedToken {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Hash for TokenBytes<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.last_chunk::<32>().map_or(self.0, <[u8; 32]>::as_slice));
    }
}

impl Hash for CachedToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TokenBytes(&self.0).hash(state);
    }
}

#[derive(Clone)]
struct EntryWeighter;

impl Weighter<CachedToken, CachedIdentity> for EntryWeighter {
    fn weight(&self, token: &CachedToken, entry: &CachedIdentity) -> u64 {
        weight(token.0.len(), entry.memory)
    }
}

const fn weight(token: usize, memory: usize) -> u64 {
    ENTRY_OVERHEAD.saturating_add(token as u64).saturating_add(memory as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Proof;

    fn at(monotonic: u64, wall: u64) -> ClockReading {
        ClockReading { monotonic: Duration::from_secs(monotonic), wall: Duration::from_secs(wall) }
    }

    /// With claims of so many bytes.
    fn claims_of_size(from: u64, until: u64, claims: usize) -> VerifiedClaims {
        claims_of(from, until, vec![b' '; claims])
    }

    fn claims_of(from: u64, until: u64, claims: Vec<u8>) -> VerifiedClaims {
        let validity = ValidityPeriod { from: Duration::from_secs(from), until: Duration::from_secs(until) };
        let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
        VerifiedClaims { identity: Arc::new(identity.with_credential_claims(claims)), validity }
    }

    fn hit(found: CacheLookup) -> bool {
        matches!(found, CacheLookup::Hit(_))
    }

    #[test]
    fn a_token_is_found_by_all_of_its_bytes() {
        let cache = TokenCache::new(1 << 20, 16_384);
        let tail = "the same end of thirty-two bytes";
        assert_eq!(tail.len(), 32);
        let (one, other) = (format!("one.{tail}"), format!("two.{tail}"));
        cache.insert(one.as_bytes(), claims_of_size(0, 100, 10), 1, at(0, 10), None);
        assert!(hit(cache.get(one.as_bytes(), 1, at(0, 10))));
        assert!(!hit(cache.get(other.as_bytes(), 1, at(0, 10))));
        assert!(!hit(cache.get(tail.as_bytes(), 1, at(0, 10))));
        assert!(!hit(cache.get(b"", 1, at(0, 10))));
    }

    #[test]
    fn it_ends_by_either_clock() {
        let cache = TokenCache::new(1 << 20, 16_384);
        cache.insert(b"a.b.c", claims_of_size(5, 100, 10), 1, at(50, 40), None);
        assert!(hit(cache.get(b"a.b.c", 1, at(109, 99))));
        // The wall clock alone, the monotonic one alone.
        assert!(matches!(cache.get(b"a.b.c", 1, at(60, 100)), CacheLookup::Expired));
        assert!(matches!(cache.get(b"a.b.c", 1, at(110, 40)), CacheLookup::Expired));
        // Before it began: to be cache again.
        assert!(matches!(cache.get(b"a.b.c", 1, at(60, 4)), CacheLookup::Miss { .. }));
    }

    #[test]
    fn other_keys_end_it_and_do_not_prolong_it() {
        let cache = TokenCache::new(1 << 20, 16_384);
        cache.insert(b"a.b.c", claims_of_size(0, 100, 10), 1, at(0, 40), None);
        let CacheLookup::Miss { until } = cache.get(b"a.b.c", 2, at(10, 0)) else { panic!() };
        assert_eq!(until, Some(Duration::from_secs(60)));
        // The wall clock was set back by fifty seconds, then the keys changed.
        cache.insert(b"a.b.c", claims_of_size(0, 100, 10), 2, at(10, 0), until);
        assert!(hit(cache.get(b"a.b.c", 2, at(59, 49))));
        assert!(matches!(cache.get(b"a.b.c", 2, at(60, 50)), CacheLookup::Expired));
    }

    #[test]
    fn bytes_are_bounded_and_one_token_of_the_longest_fits() {
        for bytes in [0, 1 << 16, 1 << 20, 8 << 20, u64::MAX] {
            let cache = TokenCache::new(bytes, 16_384);
            for number in 0..10_000 {
                let token = format!("{number:0>700}.{number:0>43}");
                cache.insert(token.as_bytes(), claims_of_size(0, 100, 300), 1, at(0, 10), None);
                assert!(cache.cache.weight() <= bytes);
            }
            assert_eq!(cache.cache.is_empty(), bytes == 0);
        }
        for longest in [0, usize::MAX] {
            let cache = TokenCache::new(1 << 20, longest);
            cache.insert(b"a.b.c", claims_of_size(0, 100, 10), 1, at(0, 10), None);
            assert!(hit(cache.get(b"a.b.c", 1, at(0, 10))));
        }
        let cache = TokenCache::new(8 << 20, 16_384);
        let token = vec![b'a'; 16_384];
        cache.insert(&token, claims_of_size(0, 100, 12_000), 1, at(0, 10), None);
        assert!(hit(cache.get(&token, 1, at(0, 10))));
    }

    /// Whatever the claims are made of, and when all of them were asked for.
    #[test]
    fn tokens_take_what_they_weigh() {
        let usual = r#"{"iss":"https://issuer.example","sub":"user-7","aud":["gateway"],"exp":2000000000,"iat":1,"nbf":1,"jti":"3f1e1f2c-7a52-4c3c-9d86-0b4c6b0c2f5e","email":"user@acme.example","groups":["a","b"],"scope":"infer models:read"}"#;
        let many = (0..200).map(|number| format!(r#""{number}":{number}"#)).collect::<Vec<_>>();
        let claims = [
            usual.to_owned(),
            "{}".to_owned(),
            format!("{{{}}}", many.join(",")),
            format!(r#"{{"a":[0{}]}}"#, ",0".repeat(1_000)),
            format!(r#"{{"a":[{{"a":1}}{}]}}"#, r#",{"a":1}"#.repeat(200)),
            format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100)),
            format!(r#"{{"a":["a"{}]}}"#, r#","a""#.repeat(500)),
        ];
        for claims in claims {
            let mut made = None;
            let memory = allocation_counter::measure(|| {
                let cache = TokenCache::new(64 << 20, 16_384);
                for number in 0..300 {
                    let token = format!("{number:0>700}.{number:0>43}");
                    let mut claims = claims_of(0, 100, claims.clone().into_bytes());
                    let scopes = (0..number % 30).map(|scope| scope.to_string());
                    let identity = Identity::clone(&claims.identity).with_scopes(scopes);
                    let _parsed = identity.claim("a");
                    claims.identity = Arc::new(identity);
                    cache.insert(token.as_bytes(), claims, 1, at(0, 10), None);
                }
                made = Some(cache);
            });
            let weight = made.unwrap().cache.weight();
            let memory = u64::try_from(memory.bytes_current).unwrap();
            assert!(memory * 10 <= weight * 13, "{memory}, {weight} weighed: {claims:.60}");
        }
    }
}
