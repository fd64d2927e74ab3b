//! A cache of verified tokens, so that each token is verified once.
//!
//! A lookup compares the whole token. The hash covers only the end of the signature, which is as
//! good as random, and it is keyed. A comparison starts only when the keyed hashes are equal. Its
//! time therefore reveals nothing about a token that the client does not have.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use quick_cache::{Equivalent, OptionsBuilder, Weighter, sync::Cache};
use zeroize::Zeroizing;

use super::confirmation::Binding;
use crate::{clock::SharedClock, identity::Identity};

/// The bytes of an entry in the table. The table grows by doubling.
const ENTRY_OVERHEAD: u64 = 384;

/// The bytes of a binding in its own allocation.
const BINDING_OVERHEAD: usize = size_of::<Binding>() + 32;

/// The memory of a typical identity divided by the size of its claims.
const IDENTITY_FACTOR: usize = 6;

const MAX_SHARDS: usize = 16;

/// The maximum capacity that the table is created for.
const MAX_ENTRIES: usize = 1 << 24;

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Duration,
    /// The time since 1970-01-01 UTC. An earlier time counts as after the expiry of every token.
    pub(super) wall: Duration,
}

impl ClockReading {
    pub(super) fn now(clock: &SharedClock) -> Self {
        let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX);
        Self { monotonic: clock.monotonic(), wall }
    }
}

/// The validity of a token on the wall clock with leeway. `from` is included and `until` is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValidityPeriod {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

/// A token whose signature and claims are valid.
#[derive(Clone)]
pub(super) struct VerifiedToken {
    pub(super) identity: Arc<Identity>,
    /// The keys that the client must prove in each request.
    pub(super) binding: Option<Arc<Binding>>,
    pub(super) validity: ValidityPeriod,
}

/// The keys that verified a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct KeyEpoch {
    /// The position of the issuer in the verifier.
    pub(super) issuer: usize,
    /// The generation of the issuer's keys.
    pub(super) generation: u64,
}

pub(super) struct TokenCache {
    entries: Cache<TokenKey, CachedToken, EntryWeighter>,
}

/// A token that was verified before.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) verified: VerifiedToken,
    pub(super) epoch: KeyEpoch,
    /// The expiry on the monotonic clock. Setting the wall clock back does not move it.
    pub(super) expires_at: Duration,
    /// The memory of the identity and the binding in bytes.
    memory: usize,
}

/// What a cached token is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CacheState {
    Valid,
    /// The token has expired. It stays expired while the entry exists even if the wall clock is set
    /// back.
    Expired,
    /// The token must be verified again. It expires at `expires_at` or earlier.
    Stale,
}

impl CachedToken {
    /// Returns the state with the issuer's keys of `generation`. `None` means that it has no usable
    /// keys.
    pub(super) fn state(&self, generation: Option<u64>, now: ClockReading) -> CacheState {
        let validity = self.verified.validity;
        if now.monotonic >= self.expires_at || now.wall >= validity.until {
            CacheState::Expired
        } else if generation != Some(self.epoch.generation) || now.wall < validity.from {
            CacheState::Stale
        } else {
            CacheState::Valid
        }
    }
}

impl TokenCache {
    /// Creates a cache of at most `max_bytes` for tokens of at most `max_token_bytes`.
    pub(super) fn new(max_bytes: u64, max_token_bytes: usize) -> Self {
        // The table rejects an entry that is heavier than one shard.
        let max_identity = max_token_bytes.saturating_mul(IDENTITY_FACTOR);
        let heaviest = weight(max_token_bytes, max_identity).saturating_mul(2);
        let mut shards = MAX_SHARDS;
        while shards > 1 && max_bytes / (shards as u64) < heaviest {
            shards /= 2;
        }
        let typical = weight(1_024, 768 * IDENTITY_FACTOR);
        let capacity = usize::try_from(max_bytes / typical).unwrap_or(usize::MAX);
        let capacity = capacity.clamp(32 * shards, MAX_ENTRIES);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(capacity)
            .weight_capacity(max_bytes)
            .build();
        let entries = match options {
            Ok(options) => {
                Cache::with_options(options, EntryWeighter, Default::default(), Default::default())
            }
            // Unreachable, because both required capacities are set.
            Err(_) => Cache::with_weighter(capacity, max_bytes, EntryWeighter),
        };
        Self { entries }
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<CachedToken> {
        self.entries.get(&TokenBytes(token))
    }

    /// Stores a token that was verified at `now` with the keys of `epoch`. A re-verified token keeps
    /// its earlier expiry.
    pub(super) fn insert(
        &self,
        token: &[u8],
        verified: VerifiedToken,
        epoch: KeyEpoch,
        now: ClockReading,
        earlier_expiry: Option<Duration>,
    ) {
        let binding = if verified.binding.is_some() { BINDING_OVERHEAD } else { 0 };
        let memory = verified.identity.memory().saturating_add(binding);
        let remaining = verified.validity.until.saturating_sub(now.wall);
        let expiry = now.monotonic.saturating_add(remaining);
        let expires_at = earlier_expiry.map_or(expiry, |earlier| earlier.min(expiry));
        let entry = CachedToken { verified, epoch, expires_at, memory };
        self.entries.insert(TokenKey(Zeroizing::new(token.into())), entry);
    }
}

// === Keys of the table ===

/// A stored token. Its bytes are wiped when the entry is removed.
struct TokenKey(Zeroizing<Box<[u8]>>);

/// A token of a request.
struct TokenBytes<'a>(&'a [u8]);

impl Equivalent<TokenKey> for TokenBytes<'_> {
    fn equivalent(&self, token: &TokenKey) -> bool {
        *self.0 == **token.0
    }
}

impl Eq for TokenKey {}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Hash for TokenBytes<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.last_chunk::<32>().map_or(self.0, <[u8; 32]>::as_slice));
    }
}

impl Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TokenBytes(&self.0).hash(state);
    }
}

#[derive(Clone)]
struct EntryWeighter;

impl Weighter<TokenKey, CachedToken> for EntryWeighter {
    fn weight(&self, token: &TokenKey, entry: &CachedToken) -> u64 {
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

    fn claims_of_size(from: u64, until: u64, claims: usize) -> VerifiedToken {
        claims_of(from, until, vec![b' '; claims])
    }

    fn claims_of(from: u64, until: u64, claims: Vec<u8>) -> VerifiedToken {
        let validity =
            ValidityPeriod { from: Duration::from_secs(from), until: Duration::from_secs(until) };
        let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
        let identity = Arc::new(identity.with_credential_claims(claims));
        VerifiedToken { identity, binding: None, validity }
    }

    fn epoch(generation: u64) -> KeyEpoch {
        KeyEpoch { issuer: 0, generation }
    }

    fn state(
        cache: &TokenCache,
        token: &[u8],
        generation: u64,
        now: ClockReading,
    ) -> Option<CacheState> {
        cache.get(token).map(|entry| entry.state(Some(generation), now))
    }

    const VALID: Option<CacheState> = Some(CacheState::Valid);
    const EXPIRED: Option<CacheState> = Some(CacheState::Expired);
    const STALE: Option<CacheState> = Some(CacheState::Stale);

    #[test]
    fn lookup_compares_every_byte() {
        let cache = TokenCache::new(1 << 20, 16_384);
        let tail = "the same end of thirty-two bytes";
        assert_eq!(tail.len(), 32);
        let (one, other) = (format!("one.{tail}"), format!("two.{tail}"));
        cache.insert(one.as_bytes(), claims_of_size(0, 100, 10), epoch(1), at(0, 10), None);
        assert_eq!(state(&cache, one.as_bytes(), 1, at(0, 10)), VALID);
        assert_eq!(state(&cache, other.as_bytes(), 1, at(0, 10)), None);
        assert_eq!(state(&cache, tail.as_bytes(), 1, at(0, 10)), None);
        assert_eq!(state(&cache, b"", 1, at(0, 10)), None);
    }

    #[test]
    fn token_expires_on_either_clock() {
        let cache = TokenCache::new(1 << 20, 16_384);
        cache.insert(b"a.b.c", claims_of_size(5, 100, 10), epoch(1), at(50, 40), None);
        assert_eq!(state(&cache, b"a.b.c", 1, at(109, 99)), VALID);
        // Only the wall clock passes the expiry. Then only the monotonic clock.
        assert_eq!(state(&cache, b"a.b.c", 1, at(60, 100)), EXPIRED);
        assert_eq!(state(&cache, b"a.b.c", 1, at(110, 40)), EXPIRED);
        // Before `from` the token must be verified again.
        assert_eq!(state(&cache, b"a.b.c", 1, at(60, 4)), STALE);
    }

    #[test]
    fn other_keys_require_verification_and_do_not_extend_the_expiry() {
        let cache = TokenCache::new(1 << 20, 16_384);
        cache.insert(b"a.b.c", claims_of_size(0, 100, 10), epoch(1), at(0, 40), None);
        assert_eq!(state(&cache, b"a.b.c", 2, at(10, 0)), STALE);
        let entry = cache.get(b"a.b.c").unwrap();
        assert_eq!(entry.state(None, at(10, 0)), CacheState::Stale);
        let expires_at = Some(entry.expires_at);
        assert_eq!(expires_at, Some(Duration::from_secs(60)));
        // The wall clock was set back by fifty seconds, then the keys changed.
        cache.insert(b"a.b.c", claims_of_size(0, 100, 10), epoch(2), at(10, 0), expires_at);
        assert_eq!(state(&cache, b"a.b.c", 2, at(59, 49)), VALID);
        assert_eq!(state(&cache, b"a.b.c", 2, at(60, 50)), EXPIRED);
    }

    #[test]
    fn weight_is_bounded_and_the_longest_token_fits() {
        for bytes in [0, 1 << 16, 1 << 20, 8 << 20, u64::MAX] {
            let cache = TokenCache::new(bytes, 16_384);
            for number in 0..10_000 {
                let token = format!("{number:0>700}.{number:0>43}");
                cache.insert(
                    token.as_bytes(),
                    claims_of_size(0, 100, 300),
                    epoch(1),
                    at(0, 10),
                    None,
                );
                assert!(cache.entries.weight() <= bytes);
            }
            assert_eq!(cache.entries.is_empty(), bytes == 0);
        }
        for longest in [0, usize::MAX] {
            let cache = TokenCache::new(1 << 20, longest);
            cache.insert(b"a.b.c", claims_of_size(0, 100, 10), epoch(1), at(0, 10), None);
            assert_eq!(state(&cache, b"a.b.c", 1, at(0, 10)), VALID);
        }
        let cache = TokenCache::new(8 << 20, 16_384);
        let token = vec![b'a'; 16_384];
        cache.insert(&token, claims_of_size(0, 100, 12_000), epoch(1), at(0, 10), None);
        assert_eq!(state(&cache, &token, 1, at(0, 10)), VALID);
    }

    /// Covers claims of every shape after they were parsed.
    #[test]
    fn weight_matches_the_memory_in_use() {
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
                    cache.insert(token.as_bytes(), claims, epoch(1), at(0, 10), None);
                }
                made = Some(cache);
            });
            let weight = made.unwrap().entries.weight();
            let memory = u64::try_from(memory.bytes_current).unwrap();
            assert!(memory * 10 <= weight * 13, "memory {memory}, weight {weight}: {claims:.60}");
        }
    }

    /// The default size and the claims of a usual token.
    #[test]
    fn memory_of_100_000_tokens_is_bounded() {
        let cap = 8 << 20;
        let claims = br#"{"iss":"https://issuer.example","sub":"user-7","aud":"gateway","exp":2000000000,"iat":1,"jti":"3f1e1f2c-7a52-4c3c-9d86-0b4c6b0c2f5e","scope":"infer models:read"}"#;
        let mut kept = None;
        let memory = allocation_counter::measure(|| {
            let cache = TokenCache::new(cap, 16_384);
            for number in 0..100_000 {
                let token = format!("{number:0>700}.{number:0>43}");
                let verified = claims_of(0, 100, claims.to_vec());
                cache.insert(token.as_bytes(), verified, epoch(1), at(0, 10), None);
            }
            kept = Some(cache);
        });
        let cache = kept.unwrap();
        assert!(cache.entries.weight() <= cap && cache.entries.len() > 1_000);
        let memory = u64::try_from(memory.bytes_current).unwrap();
        assert!(memory * 10 <= cap * 13, "memory {memory}");
    }
}
