use std::time::Duration;

use redis::{Cmd, RedisResult, Script, Value};

use crate::redis_link::{Connection, Policy, Probe};

/// The version of the keys, `namespace:v1:…`. Change it with the layout of the values.
const VERSION: &str = "v1";

/// Deletes a lease if the holder still has it.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

#[derive(Clone)]
pub(super) struct Commands {
    namespace: Box<str>,
    release: Script,
    /// The maximum length of a value that is read.
    max_value_bytes: usize,
}

impl Commands {
    pub(super) fn new(namespace: Box<str>, max_value_bytes: usize) -> Self {
        Self { namespace, release: Script::new(RELEASE), max_value_bytes }
    }

    /// Reads a value, or the beginning of one that is too long. It bounds the memory of the reply.
    pub(super) fn get(&self, key: &[u8; 32]) -> Cmd {
        let mut command = redis::cmd("GETRANGE");
        command.arg(self.name("", key)).arg(0).arg(self.max_value_bytes);
        command
    }

    pub(super) fn put(&self, key: &[u8; 32], value: &[u8], ttl: Duration, new: bool) -> Cmd {
        set(self.name("", key), value, ttl, new)
    }

    pub(super) fn remove(&self, key: &[u8; 32]) -> Cmd {
        let mut command = redis::cmd("DEL");
        command.arg(self.name("", key));
        command
    }

    pub(super) fn lease(&self, key: &[u8; 32], holder: &[u8; 16], ttl: Duration) -> Cmd {
        set(self.name("lease:", key), holder, ttl, true)
    }

    pub(super) async fn release(
        &self,
        key: &[u8; 32],
        holder: &[u8; 16],
        connection: Connection,
    ) -> RedisResult<()> {
        self.release_name(self.name("lease:", key), holder, connection).await
    }

    async fn release_name(
        &self,
        name: String,
        holder: &[u8; 16],
        mut connection: Connection,
    ) -> RedisResult<()> {
        let mut script = self.release.prepare_invoke();
        script.key(name).arg(&holder[..]);
        let _deleted: i64 = script.invoke_async(&mut connection).await?;
        Ok(())
    }

    fn name(&self, kind: &str, key: &[u8; 32]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = format!("{}:{VERSION}:{kind}", self.namespace);
        let digits = key.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        name.extend(
            digits.filter_map(|digit| DIGITS.get(usize::from(digit)).copied().map(char::from)),
        );
        name
    }
}

/// Checks that the server permits all commands: to write, to read and to delete.
impl Probe for Commands {
    async fn probe(&self, mut connection: Connection) -> RedisResult<()> {
        let name = format!("{}:{VERSION}:probe", self.namespace);
        let holder = [0; 16];
        let second = Duration::from_secs(1);
        let _set: Value =
            set(name.clone(), &holder, second, false).query_async(&mut connection).await?;
        let mut read = redis::cmd("GETRANGE");
        let _got: Value = read.arg(&name).arg(0).arg(0).query_async(&mut connection).await?;
        self.release_name(name.clone(), &holder, connection.clone()).await?;
        let mut delete = redis::cmd("DEL");
        let _deleted: Value = delete.arg(&name).query_async(&mut connection).await?;
        Ok(())
    }

    fn advice(&self, policy: &Policy) -> Option<&'static str> {
        policy.refuses().then_some(
            "the server of the cache refuses to store responses when it is full: set its \
             maxmemory-policy to allkeys-lru, and keep the counters of limits on another server",
        )
    }
}

fn set(name: String, value: &[u8], ttl: Duration, new: bool) -> Cmd {
    let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, MAX_TTL);
    let mut command = redis::cmd("SET");
    command.arg(name).arg(value).arg("PX").arg(ttl);
    if new {
        command.arg("NX");
    }
    command
}

/// 400 days, in milliseconds.
const MAX_TTL: u64 = 400 * 86_400_000;
