//! Limits and cache entries that replicas share in Redis or Valkey.

use std::{env, fs};

use tower_inference::{
    cache::{RedisCache, SecondTier},
    limits::{OutagePolicy, RedisStore, Store},
    secret::Secret,
};

use crate::{
    Error,
    args::{Redis, SecretPlace},
};

/// Returns the store of the limits. `None` if each replica counts alone.
pub(crate) fn counters(redis: &Redis) -> Result<Option<Store>, Error> {
    let Some(url) = redis.limits.as_deref() else { return Ok(None) };
    let refused = |error| format!("--redis-limits: {error}");
    let mut store = RedisStore::single(Secret::new(url), secret(redis)?).map_err(refused)?;
    if let Some(replicas) = redis.replicas {
        store = store.outage_policy(OutagePolicy::Local { replicas: replicas.get() });
    }
    if let Some(permits) = redis.lease {
        store = store.lease(permits.get());
    }
    if let Some(wait) = redis.wait {
        store = store.decision_timeout(wait);
    }
    Ok(Some(store.into()))
}

/// Returns the encrypted second tier of the cache. `None` if each replica caches alone.
pub(crate) fn responses(redis: &Redis) -> Result<Option<SecondTier>, Error> {
    let Some(url) = redis.cache.as_deref() else { return Ok(None) };
    let refused = |error| format!("--redis-cache: {error}");
    let mut cache = RedisCache::single(Secret::new(url)).map_err(refused)?;
    if let Some(wait) = redis.wait {
        cache = cache.read_timeout(wait);
    }
    Ok(Some(SecondTier::new(cache, secret(redis)?).encrypted()))
}

/// Returns the secret of both. Each derives its own keys from it.
fn secret(redis: &Redis) -> Result<Secret, Error> {
    let secret = match &redis.secret {
        SecretPlace::Env(name) => {
            env::var(name).map_err(|error| format!("--redis-secret-env {name}: {error}"))?
        }
        SecretPlace::File(file) => fs::read_to_string(file)
            .map_err(|error| format!("--redis-secret-file {}: {error}", file.display()))?,
    };
    if secret.trim().len() < 16 {
        return Err(
            "the secret of --redis-limits and --redis-cache has fewer than 16 characters".into()
        );
    }
    Ok(Secret::new(secret.trim()))
}
