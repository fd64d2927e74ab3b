//! Reads at once, and writes one after the other.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Cmd, RedisResult, Value};
use tokio::sync::{Notify, oneshot};

use super::{commands::Commands, settings::RedisCache};
use crate::{
    cache::{Leased, TierFuture},
    lock::Lock,
    redis_link::{Bounds, Connection, Link, Task},
};

/// What waits to be written, in values; and in bytes, as many times the longest.
const MOST_WAITING: usize = 1_024;
const MOST_LIMITS: usize = 16;

/// What a reply may have beyond a value: those to a probe, and to a cluster's slots.
const SLACK: usize = 1 << 20;
/// What all replies that are waited for at once may have together.
const MOST_READ: usize = 128 << 20;

/// How long writing may wait, for which nobody waits.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    core: Arc<Core>,
    writing: Task,
}

struct Core {
    link: Link<Commands>,
    commands: Commands,
    most: usize,
    queue: Lock<Queue>,
    queued: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Write>,
    bytes: usize,
}

struct Write {
    key: [u8; 32],
    what: What,
    done: oneshot::Sender<bool>,
}

enum What {
    Put { value: Bytes, ttl: Duration },
    Remove,
    Release([u8; 16]),
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(settings: &RedisCache) -> Self {
        let most = settings.max_value;
        let commands = Commands::new(settings.namespace.clone(), most);
        let max_reply = most.saturating_add(SLACK);
        let max_waiting = (MOST_READ / max_reply).clamp(1, MOST_WAITING);
        let bounds = Bounds { max_reply, max_waiting };
        let core = Core {
            link: Link::new(settings.places.clone(), settings.wait, bounds, commands.clone()),
            commands,
            most,
            queue: Lock::default(),
            queued: Notify::new(),
        };
        Self { core: Arc::new(core), writing: Task::default() }
    }

    pub(super) fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let value = core.read(&core.commands.get(&key)).await?;
            // Where nothing is, an empty one is read.
            (1..=core.most).contains(&value.len()).then(|| value.into())
        })
    }

    pub(super) fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.write(key, What::Put { value, ttl })
    }

    pub(super) fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            if value.len() > core.most {
                return false;
            }
            let command = &core.commands.put(&key, &value, ttl, true);
            core.once(command).await.is_some_and(|told| told != Value::Nil)
        })
    }

    pub(super) fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        self.write(key, What::Remove)
    }

    pub(super) fn lease(
        &self,
        key: [u8; 32],
        holder: [u8; 16],
        ttl: Duration,
    ) -> TierFuture<Leased> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let command = &core.commands.lease(&key, &holder, ttl);
            match core.once(command).await {
                Some(Value::Nil) => Leased::Taken,
                Some(_) | None => Leased::Won,
            }
        })
    }

    pub(super) fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        drop(self.write(key, What::Release(holder)));
    }

    fn write(&self, key: [u8; 32], what: What) -> TierFuture<bool> {
        self.writing.keep(|| Arc::clone(&self.core).write_for_ever());
        let (done, told) = oneshot::channel();
        if self.core.push(Write { key, what, done }) {
            self.core.queued.notify_one();
        }
        // What did not find a place, or was lost, is not done.
        Box::pin(async move { told.await.unwrap_or(false) })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.core.queue.lock();
        f.debug_struct("Redis")
            .field("up", &self.core.link.is_up())
            .field("waiting", &queue.waiting.len())
            .field("bytes", &queue.bytes)
            .finish_non_exhaustive()
    }
}

// === impl Core ===

impl Core {
    /// Nobody waits for a connection, which may take seconds: only for an answer.
    fn is_up(&self) -> bool {
        self.link.keep();
        self.link.is_up()
    }

    async fn read(&self, command: &Cmd) -> Option<Vec<u8>> {
        if !self.is_up() {
            return None;
        }
        let read = self.link.with(async |mut connection| {
            of_its_type(command.query_async::<Vec<u8>>(&mut connection).await)
        });
        read.await.ok()?
    }

    /// Not twice: the second time, it would find what it has done itself.
    async fn once(&self, command: &Cmd) -> Option<Value> {
        if !self.is_up() {
            return None;
        }
        self.link.once(|connection| ask(command, connection)).await.ok()
    }

    /// `false` when there is no room for it.
    fn push(&self, write: Write) -> bool {
        let length = write.length();
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(length);
        let fits = length <= self.most
            && queue.waiting.len() < MOST_WAITING
            && bytes <= self.most.saturating_mul(MOST_LIMITS);
        if fits {
            queue.bytes = bytes;
            queue.waiting.push_back(write);
        }
        fits
    }

    async fn write_for_ever(self: Arc<Self>) {
        loop {
            let next = self.queue.lock().pop();
            match next {
                Some(write) => self.write(write).await,
                None => self.queued.notified().await,
            }
        }
    }

    async fn write(&self, Write { key, what, done }: Write) {
        let written = self.link.within(PATIENCE, async |connection| match &what {
            What::Put { value, ttl } => {
                let command = self.commands.put(&key, value, *ttl, false);
                ask(&command, connection).await.map(|_| true)
            }
            What::Remove => ask(&self.commands.remove(&key), connection).await.map(|_| true),
            What::Release(holder) => {
                self.commands.release(&key, holder, connection).await.map(|()| true)
            }
        });
        let written = written.await.unwrap_or(false);
        let _nobody_waits = done.send(written);
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Write> {
        let write = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(write.length());
        Some(write)
    }
}

impl Write {
    fn length(&self) -> usize {
        match &self.what {
            What::Put { value, .. } => value.len(),
            What::Remove | What::Release(_) => 0,
        }
    }
}

async fn ask(command: &Cmd, mut connection: Connection) -> RedisResult<Value> {
    command.query_async(&mut connection).await
}

/// A value of another type is none; the server is well, whoever put it there.
fn of_its_type<T>(read: RedisResult<T>) -> RedisResult<Option<T>> {
    match read {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        read => read.map(Some),
    }
}
