//! A second tier of the cache on disk, by [foyer](https://docs.rs/foyer): what was answered before a
//! restart is answered after it.
//!
//! ```
//! use tower_inference::{cache::SecondTier, secret::Secret};
//! use tower_inference_disk_tier::DiskTier;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path();
//! let disk = DiskTier::open(path, 64 << 20).await?;
//! let secret = Secret::new("32 random bytes that outlive the process");
//! let tier = SecondTier::new(disk.clone(), secret).encrypted();
//! # drop(tier);
//! // When the program ends:
//! disk.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! A disk is one process' own: there are no leases, and what one process invalidates concerns no
//! other. What was put in the last moments before a crash is lost, which is a miss.

use std::{
    io::{Read, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, Error, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCachePolicy, RecoverMode,
};
use tower_inference::cache::{Tier, TierFuture};

/// A folder in which values are kept.
#[derive(Clone, Debug)]
pub struct DiskTier {
    values: HybridCache<Name, Value>,
}

/// For a disk, this is away.
const WAIT: Duration = Duration::from_millis(20);

/// The smallest part of the disk that is written anew. No value may be as long.
const BLOCK: usize = 4 << 20;

/// What is on its way to the disk; the cache has a memory of its own.
const MEMORY: usize = 8 << 20;

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Name([u8; 32]);

#[derive(Clone, Debug)]
struct Value {
    /// In milliseconds since 1970: foyer keeps what there is room for, and knows no time to live.
    until: u64,
    bytes: Bytes,
}

impl DiskTier {
    /// Keeps at most so many bytes in this folder, which is made if it is not there; at least 16 MiB.
    ///
    /// # Errors
    ///
    /// When it cannot be written to.
    pub async fn open(folder: impl AsRef<Path>, bytes: usize) -> Result<Self, Error> {
        let capacity = bytes.max(4 * BLOCK);
        let device = FsDeviceBuilder::new(folder).with_capacity(capacity).build()?;
        // What was removed, or written over, must not be there again after a restart.
        let engine = BlockEngineConfig::new(device).with_block_size(BLOCK).with_tombstone_log(true);
        let values = HybridCacheBuilder::new()
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(MEMORY)
            .with_weighter(|_, value: &Value| value.bytes.len())
            .storage()
            .with_engine_config(engine)
            // A block that is spoilt is empty.
            .with_recover_mode(RecoverMode::Quiet)
            .build()
            .await?;
        Ok(Self { values })
    }

    /// Writes all that is on its way.
    pub async fn close(&self) {
        // What could not be written is a miss.
        let _missed = self.values.close().await;
    }
}

impl Tier for DiskTier {
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        let read = self.values.get(&Name(key));
        Box::pin(async move {
            let value = tokio::time::timeout(WAIT, read).await.ok()?.ok()??;
            (now() < value.until).then(|| value.bytes.clone())
        })
    }

    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let value = Value { until: now().saturating_add(ttl), bytes: value };
        self.values.insert(Name(key), value);
        Box::pin(std::future::ready(true))
    }

    fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        self.values.remove(&Name(key));
        Box::pin(std::future::ready(true))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Code for Name {
    fn encode(&self, writer: &mut impl Write) -> Result<(), Error> {
        writer.write_all(&self.0).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> Result<Self, Error> {
        let mut name = [0; 32];
        reader.read_exact(&mut name).map_err(Error::io_error)?;
        Ok(Self(name))
    }

    fn estimated_size(&self) -> usize {
        self.0.len()
    }
}

impl Code for Value {
    fn encode(&self, writer: &mut impl Write) -> Result<(), Error> {
        self.until.encode(writer)?;
        writer.write_all(&self.bytes).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> Result<Self, Error> {
        let until = u64::decode(reader)?;
        let mut bytes = Vec::new();
        // Never longer than the block that it is in, whatever is written there.
        reader.take(BLOCK as u64).read_to_end(&mut bytes).map_err(Error::io_error)?;
        Ok(Self { until, bytes: bytes.into() })
    }

    fn estimated_size(&self) -> usize {
        size_of::<u64>() + self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use tempfile::{TempDir, tempdir};
    use tower::{Layer as _, ServiceExt as _, service_fn};
    use tower_inference::{
        cache::{CacheLayer, Scope, SecondTier},
        payload::Payload,
        secret::Secret,
    };

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    async fn opened(folder: &TempDir) -> DiskTier {
        DiskTier::open(folder.path(), 64 << 20).await.unwrap()
    }

    async fn put(disk: &DiskTier, number: u8, value: &'static str, ttl: Duration) {
        assert!(disk.put([number; 32], Bytes::from_static(value.as_bytes()), ttl).await);
    }

    /// A disk that other tests use as well may be slow: then it is asked again.
    async fn get(disk: &DiskTier, number: u8) -> Option<Bytes> {
        for _ in 0..20 {
            if let Some(value) = disk.get([number; 32]).await {
                return Some(value);
            }
        }
        None
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_put_outlives_the_process_and_what_is_not_there_does_not() {
        let folder = tempdir().unwrap();
        let disk = opened(&folder).await;
        assert_eq!(get(&disk, 1).await, None);
        put(&disk, 1, "first", MINUTE).await;
        put(&disk, 2, "removed", MINUTE).await;
        put(&disk, 3, "before", MINUTE).await;
        put(&disk, 4, "over", Duration::ZERO).await;
        put(&disk, 3, "after", MINUTE).await;
        assert!(disk.remove([2; 32]).await);
        assert_eq!(get(&disk, 3).await.as_deref(), Some(&b"after"[..]));
        disk.close().await;
        drop(disk);
        let disk = opened(&folder).await;
        assert_eq!(get(&disk, 1).await.as_deref(), Some(&b"first"[..]));
        assert_eq!(get(&disk, 2).await, None);
        assert_eq!(get(&disk, 3).await.as_deref(), Some(&b"after"[..]));
        assert_eq!(get(&disk, 4).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_answered_before_a_restart_is_answered_after_it() {
        let (folder, calls) = (tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let disk = opened(&folder).await;
            let tier = SecondTier::new(disk.clone(), Secret::new("outlives the process"));
            let cache = CacheLayer::new("router", Scope::Shared).second_tier(tier.encrypted());
            let calls = Arc::clone(&calls);
            let upstream = service_fn(move |_: Request<Payload>| {
                let call = calls.fetch_add(1, SeqCst);
                let response = Response::builder().header("content-type", "application/json");
                let body = Full::from(format!("{{\"data\":[{{\"embedding\":[{call}]}}]}}"));
                std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
            });
            let request = Request::post("/v1/embeddings")
                .header("content-type", "application/json")
                .body(Payload::buffered(r#"{"model":"m","input":"a"}"#))
                .unwrap();
            let answer = cache.layer(upstream).oneshot(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, r#"{"data":[{"embedding":[0]}]}"#);
            disk.close().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_spoilt_on_the_disk_is_not_there() {
        let folder = tempdir().unwrap();
        let disk = opened(&folder).await;
        for number in 0..50 {
            put(&disk, number, "value", MINUTE).await;
        }
        disk.close().await;
        drop(disk);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
            std::fs::write(&path, bytes).unwrap();
        }
        let disk = opened(&folder).await;
        for number in 0..50 {
            assert_eq!(get(&disk, number).await, None);
        }
        put(&disk, 1, "anew", MINUTE).await;
        assert_eq!(get(&disk, 1).await.as_deref(), Some(&b"anew"[..]));
    }
}
