//! Concurrent reads, and a queue of writes.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Cmd, RedisResult, Value};
use tokio::sync::{Notify, oneshot};

use super::commands::Commands;
use crate::{
    cache::tier::tier::{LeaseResult, TierFuture},
    lock::Lock,
    owned_task::Task,
    redis_link::{Bounds, Connection, Link, Places},
};

/// The maximum number of queued writes.
const MAX_QUEUED: usize = 1_024;
/// The maximum bytes of queued writes, as a multiple of the longest value.
const MAX_QUEUED_VALUES: usize = 16;

/// Room for replies that are longer than a value: to a probe, or with a cluster's slots.
const OTHER_REPLIES: usize = 1 << 20;
/// The maximum bytes of all concurrent replies.
const MAX_REPLIES: usize = 128 << 20;

/// No request waits for a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of a backend.
pub(super) struct Settings {
    pub(super) places: Places,
    pub(super) namespace: Box<str>,
    pub(super) read_timeout: Duration,
    pub(super) max_value_bytes: usize,
}

/// The connection to the server and the queue of writes.
pub(super) struct RedisBackend {
    core: Arc<BackendCore>,
    writing: Task,
}

struct BackendCore {
    link: Link<Commands>,
    commands: Commands,
    max_value_bytes: usize,
    queue: Lock<WriteQueue>,
    queued: Notify,
}

#[derive(Default)]
struct WriteQueue {
    waiting: VecDeque<QueuedWrite>,
    bytes: usize,
}

struct QueuedWrite {
    key: [u8; 32],
    kind: WriteKind,
    done: oneshot::Sender<bool>,
}

enum WriteKind {
    Put { value: Bytes, ttl: Duration },
    Remove,
    Release([u8; 16]),
}

// === impl RedisBackend ===

impl RedisBackend {
    pub(super) fn new(settings: Settings) -> Self {
        let Settings { places, namespace, read_timeout, max_value_bytes } = settings;
        let commands = Commands::new(namespace, max_value_bytes);
        let max_reply = max_value_bytes.saturating_add(OTHER_REPLIES);
        let max_waiting = (MAX_REPLIES / max_reply).clamp(1, MAX_QUEUED);
        let bounds = Bounds { max_reply, max_waiting };
        let core = BackendCore {
            link: Link::new(places, read_timeout, bounds, commands.clone()),
            commands,
            max_value_bytes,
            queue: Lock::default(),
            queued: Notify::new(),
        };
        Self { core: Arc::new(core), writing: Task::default() }
    }

    pub(super) fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let value = core.read(&core.commands.get(&key)).await?;
            // A missing value is read as an empty one.
            (1..=core.max_value_bytes).contains(&value.len()).then(|| value.into())
        })
    }

    pub(super) fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(key, WriteKind::Put { value, ttl })
    }

    pub(super) fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            if value.len() > core.max_value_bytes {
                return false;
            }
            let command = &core.commands.put(&key, &value, ttl, true);
            core.send_once(command).await.is_some_and(|reply| reply != Value::Nil)
        })
    }

    pub(super) fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        self.write(key, WriteKind::Remove)
    }

    pub(super) fn lease(
        &self,
        key: [u8; 32],
        holder: [u8; 16],
        ttl: Duration,
    ) -> TierFuture<LeaseResult> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let command = &core.commands.lease(&key, &holder, ttl);
            match core.send_once(command).await {
                Some(Value::Nil) => LeaseResult::Taken,
                Some(_) | None => LeaseResult::Granted,
            }
        })
    }

    pub(super) fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        drop(self.write(key, WriteKind::Release(holder)));
    }

    fn write(&self, key: [u8; 32], kind: WriteKind) -> TierFuture<bool> {
        self.writing.keep(|| Arc::clone(&self.core).run_writes());
        let (done, result) = oneshot::channel();
        if self.core.push(QueuedWrite { key, kind, done }) {
            self.core.queued.notify_one();
        }
        // A write without room in the queue, or that is lost with it, has failed.
        Box::pin(async move { result.await.unwrap_or(false) })
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.core.queue.lock();
        f.debug_struct("RedisBackend")
            .field("up", &self.core.link.is_up())
            .field("waiting", &queue.waiting.len())
            .field("bytes", &queue.bytes)
            .finish_non_exhaustive()
    }
}

// === impl BackendCore ===

impl BackendCore {
    /// Starts a connection if there is none. A connection may take seconds, so requests do not wait for it.
    fn is_up(&self) -> bool {
        self.link.keep();
        self.link.is_up()
    }

    async fn read(&self, command: &Cmd) -> Option<Vec<u8>> {
        if !self.is_up() {
            return None;
        }
        let read = self.link.with(async |mut connection| {
            ignore_wrong_type(command.query_async::<Vec<u8>>(&mut connection).await)
        });
        read.await.ok()?
    }

    /// Sends a command once. A repetition would find the effect of the first attempt.
    async fn send_once(&self, command: &Cmd) -> Option<Value> {
        if !self.is_up() {
            return None;
        }
        self.link.once(|connection| send(command, connection)).await.ok()
    }

    /// Returns `false` if there is no room.
    fn push(&self, write: QueuedWrite) -> bool {
        let length = write.length();
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(length);
        let fits = length <= self.max_value_bytes
            && queue.waiting.len() < MAX_QUEUED
            && bytes <= self.max_value_bytes.saturating_mul(MAX_QUEUED_VALUES);
        if fits {
            queue.bytes = bytes;
            queue.waiting.push_back(write);
        }
        fits
    }

    async fn run_writes(self: Arc<Self>) {
        loop {
            let next = self.queue.lock().pop();
            match next {
                Some(write) => self.write(write).await,
                None => self.queued.notified().await,
            }
        }
    }

    async fn write(&self, QueuedWrite { key, kind, done }: QueuedWrite) {
        let written = self.link.within(WRITE_TIMEOUT, async |connection| match &kind {
            WriteKind::Put { value, ttl } => {
                let command = self.commands.put(&key, value, *ttl, false);
                send(&command, connection).await.map(|_| true)
            }
            WriteKind::Remove => send(&self.commands.remove(&key), connection).await.map(|_| true),
            WriteKind::Release(holder) => {
                self.commands.release(&key, holder, connection).await.map(|()| true)
            }
        });
        let written = written.await.unwrap_or(false);
        let _unawaited = done.send(written);
    }
}

impl WriteQueue {
    fn pop(&mut self) -> Option<QueuedWrite> {
        let write = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(write.length());
        Some(write)
    }
}

impl QueuedWrite {
    fn length(&self) -> usize {
        match &self.kind {
            WriteKind::Put { value, .. } => value.len(),
            WriteKind::Remove | WriteKind::Release(_) => 0,
        }
    }
}

async fn send(command: &Cmd, mut connection: Connection) -> RedisResult<Value> {
    command.query_async(&mut connection).await
}

/// Treats a value of another type as missing. The server works, although another program wrote it.
fn ignore_wrong_type<T>(read: RedisResult<T>) -> RedisResult<Option<T>> {
    match read {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        read => read.map(Some),
    }
}
