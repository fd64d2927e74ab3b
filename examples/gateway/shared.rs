//! What replicas share in Redis or Valkey.

use std::{env, fs};

use tower_inference::{
    cache::{RedisCache, SecondTier},
    secret::Secret,
    throttle::{RedisStore, Store, WhenAway},
};

use crate::{
    Error,
    args::{Redis, SecretPlace},
};

/// The counters of limits.
pub(crate) fn counters(redis: &Redis) -> Result<Store, Error> {
    let mut store = RedisStore::single(address(redis), secret(redis)?).map_err(refused)?;
    if let Some(replicas) = redis.replicas {
        store = store.when_away(WhenAway::Local { replicas: replicas.get() });
    }
    if let Some(permits) = redis.lease {
        store = store.lease(permits.get());
    }
    if let Some(wait) = redis.wait {
        store = store.wait(wait);
    }
    Ok(store.into())
}

/// The answers, which nobody reads there who does not have the secret.
pub(crate) fn answers(redis: &Redis) -> Result<SecondTier, Error> {
    let mut cache = RedisCache::single(address(redis)).map_err(refused)?;
    if let Some(wait) = redis.wait {
        cache = cache.wait(wait);
    }
    Ok(SecondTier::new(cache, secret(redis)?).encrypted())
}

fn address(redis: &Redis) -> Secret {
    Secret::new(redis.url.as_str())
}

/// Of both: neither uses it as it is.
fn secret(redis: &Redis) -> Result<Secret, Error> {
    let secret = match &redis.secret {
        SecretPlace::Env(name) => {
            env::var(name).map_err(|error| format!("--redis-secret-env {name}: {error}"))?
        }
        SecretPlace::File(file) => fs::read_to_string(file)
            .map_err(|error| format!("--redis-secret-file {}: {error}", file.display()))?,
    };
    if secret.trim().len() < 16 {
        return Err("the secret of --redis has fewer than 16 characters".into());
    }
    Ok(Secret::new(secret.trim()))
}

fn refused(error: impl std::fmt::Display) -> Error {
    format!("--redis: {error}").into()
}
