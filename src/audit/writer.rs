//! The thread that chains, signs and writes records.

use std::{
    fmt, io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    checkpoint::{Checkpoint, Reason},
    checkpoints::Checkpoints,
    durability::Durability,
    key::AuditKey,
    line::{Chain, GAP, REQUEST},
    opening::{After, Opening},
    queue::{Gap, RecordQueue, Taken},
    start::Started,
    storage::Storage,
};
use crate::{
    clock::SharedClock,
    json_object::{JsonObject, member_name, rfc3339},
    once_a_minute::OnceAMinute,
    printable::Printable,
};

/// The time between two attempts to write after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// The time between two attempts to rotate a file.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);
/// The capacity that a buffer keeps after a burst.
const KEPT_CAPACITY: usize = 64 * 1024;

/// The settings of a writer.
pub(super) struct Rules {
    pub(super) path: PathBuf,
    pub(super) key: AuditKey,
    pub(super) durability: Durability,
    pub(super) checkpoints: Checkpoints,
    pub(super) max_file_bytes: u64,
    pub(super) clock: SharedClock,
}

pub(super) struct Writer<S> {
    storage: S,
    rules: Rules,
    queue: Arc<RecordQueue>,
    chain: Chain,
    trail: Arc<str>,
    number: u64,
    taken: Taken,
    /// How many bytes of what was taken are chained.
    chained: usize,
    /// Lines that are chained. A write that fails goes on within them, so that no line is torn.
    pending: Vec<u8>,
    /// How many bytes of them are written.
    written: usize,
    /// How many of them are records of requests.
    records: usize,
    /// Records that this writer added to the file. Each file has one at least.
    in_file: u64,
    /// Checkpoints that are not passed on yet.
    signed: Vec<Checkpoint>,
    /// Lines after the last checkpoint, and since when there are any.
    unsigned: u64,
    unsigned_since: Duration,
    /// When the first line was written that is not durable.
    undurable_since: Option<Duration>,
    outage: Option<Outage>,
    /// An outage that the trail does not state yet.
    recovered: Option<Outage>,
    rotate_after: Duration,
    full: OnceAMinute,
}

/// A time in which the trail cannot be written.
struct Outage {
    since: SystemTime,
    cause: String,
    /// Records that were written before may not be durable.
    of_sync: bool,
    next_try: Duration,
}

/// A write or a sync that failed.
struct Failure {
    error: io::Error,
    of_sync: bool,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(started: Started<S>, rules: Rules, queue: Arc<RecordQueue>) -> Self {
        let Started { storage, chain, trail, number, checkpoint } = started;
        Self {
            storage,
            rules,
            queue,
            chain,
            trail,
            number,
            taken: Taken::default(),
            chained: 0,
            pending: Vec::new(),
            written: 0,
            records: 0,
            in_file: 0,
            signed: vec![checkpoint],
            unsigned: 0,
            unsigned_since: Duration::ZERO,
            undurable_since: None,
            outage: None,
            recovered: None,
            rotate_after: Duration::ZERO,
            full: OnceAMinute::default(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        // The checkpoint of the start.
        self.pass_on();
        while !self.turn() {}
    }

    /// Waits for work and does it. Returns true at the end.
    fn turn(&mut self) -> bool {
        let wait = self.wait(self.rules.clock.monotonic());
        if self.outage.is_some() || self.is_chained() {
            self.queue.take(&mut self.taken, wait, self.outage.is_none());
        }
        if self.taken.abandoned {
            return true;
        }
        let now = self.rules.clock.monotonic();
        self.chain_taken(now);
        // The end tries once more in an outage, whatever is left to chain.
        let closed = self.taken.closed && (self.is_chained() || self.outage.is_some());
        if closed && self.outage.is_none() {
            self.sign(Reason::Close, now);
        }
        self.step(now, self.taken.urgent || closed);
        // An outage that is over is stated first.
        closed && self.recovered.is_none()
    }

    /// Returns whether all that was taken is chained.
    fn is_chained(&self) -> bool {
        self.chained == self.taken.bytes.len()
    }

    /// The time until there is work without a new record.
    fn wait(&self, now: Duration) -> Option<Duration> {
        if let Some(outage) = &self.outage {
            return Some(outage.next_try.saturating_sub(now));
        }
        if self.recovered.is_some() {
            return Some(Duration::ZERO);
        }
        let sign = (self.unsigned > 0).then_some((self.unsigned_since, self.max_age()));
        let sync = match self.rules.durability {
            Durability::Interval(interval) => self.undurable_since.map(|since| (since, interval)),
            _ => None,
        };
        let due = sign.into_iter().chain(sync).map(|(since, age)| since.saturating_add(age));
        due.min().map(|due| due.saturating_sub(now))
    }

    fn max_age(&self) -> Duration {
        self.rules.checkpoints.max_age
    }

    // === the chain ===

    /// Chains what was taken and signs if that is due.
    fn chain_taken(&mut self, now: Duration) {
        if self.outage.is_some() {
            return;
        }
        let bytes = mem::take(&mut self.taken.bytes);
        let left = bytes.get(self.chained..).unwrap_or_default();
        for members in left.split_inclusive(|byte| *byte == b'\n') {
            // The rest goes into the next file.
            if self.is_full(now) {
                self.taken.bytes = bytes;
                return;
            }
            self.note_unsigned(now);
            self.chained += members.len();
            self.records += 1;
            self.in_file += 1;
            let members = members.strip_suffix(b"\n").unwrap_or(members);
            self.chain.append(&mut self.pending, REQUEST, members);
            if self.unsigned >= self.rules.checkpoints.max_records {
                self.sign(Reason::Interval, now);
            }
        }
        (self.taken.bytes, self.chained) = (emptied(bytes), 0);
        let gap = mem::take(&mut self.taken.gap);
        if !gap.is_empty() || self.recovered.is_some() {
            let outage = self.recovered.take();
            self.chain_gap(gap, outage.as_ref(), now);
        }
        let is_due = now >= self.unsigned_since.saturating_add(self.max_age());
        if self.unsigned > 0 && is_due {
            self.sign(Reason::Interval, now);
        }
    }

    /// Returns whether the file is to be rotated once what is pending is written.
    fn is_full(&self, now: Duration) -> bool {
        let length = self.storage.length() + (self.pending.len() - self.written) as u64;
        self.in_file > 0 && length >= self.rules.max_file_bytes && now >= self.rotate_after
    }

    fn chain_gap(&mut self, gap: Gap, outage: Option<&Outage>, now: Duration) {
        let until = self.rules.clock.wall();
        let first = [gap.since, outage.map(|outage| outage.since)].into_iter().flatten().min();
        let (since, until) = (rfc3339(first.unwrap_or(until)), rfc3339(until));
        let cause = outage.map_or("the queue was full", |outage| &outage.cause);
        let mut object = JsonObject::default();
        object.plain(member_name!("since"), str::from_utf8(&since).ok());
        object.plain(member_name!("until"), str::from_utf8(&until).ok());
        object.text(member_name!("cause"), Some(cause));
        object.number(member_name!("lost"), Some(gap.lost));
        object.number(member_name!("turned_away"), Some(gap.turned_away));
        if outage.is_some_and(|outage| outage.of_sync) {
            object.push(b",\"sync_failed\":true");
        }
        self.note_unsigned(now);
        self.chain.append(&mut self.pending, GAP, object.written());
        // Clients that outrun the disk cause one after another.
        if outage.is_none() && self.full.is_due(now) {
            let path = Printable(self.rules.path.display());
            let Gap { lost, turned_away, .. } = gap;
            tracing::error!(%path, lost, turned_away, "the queue of the audit trail was full");
        }
    }

    fn note_unsigned(&mut self, now: Duration) {
        if self.unsigned == 0 {
            self.unsigned_since = now;
        }
        self.unsigned += 1;
    }

    fn sign(&mut self, reason: Reason, now: Duration) {
        let time = rfc3339(self.rules.clock.wall());
        let checkpoint = Checkpoint::sign(
            &mut self.chain,
            &mut self.pending,
            &self.trail,
            str::from_utf8(&time).unwrap_or_default(),
            reason,
            &self.rules.key,
        );
        (self.unsigned, self.unsigned_since) = (0, now);
        self.signed.push(checkpoint);
    }

    // === the file ===

    /// Writes what is pending, makes it durable if that is due and rotates the file.
    fn step(&mut self, now: Duration, urgent: bool) {
        if self.outage.as_ref().is_some_and(|outage| now < outage.next_try) && !urgent {
            return;
        }
        let result = self.write(now, urgent).and_then(|()| {
            let is_end = self.taken.closed && self.is_chained();
            if self.is_full(now) && !is_end { self.rotate(now) } else { Ok(()) }
        });
        match result {
            Ok(()) => self.recover(),
            Err(failure) => self.fail(failure, now),
        }
    }

    fn write(&mut self, now: Duration, urgent: bool) -> Result<(), Failure> {
        let failed = |of_sync| move |error| Failure { error, of_sync };
        let is_new = !self.pending.is_empty();
        while let Some(left) = self.pending.get(self.written..).filter(|left| !left.is_empty()) {
            match self.storage.write(left) {
                Ok(0) => return Err(failed(false)(io::ErrorKind::WriteZero.into())),
                Ok(taken) => self.written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(false)(error)),
            }
        }
        self.written = 0;
        self.pending = emptied(mem::take(&mut self.pending));
        self.queue.settle(mem::take(&mut self.records));
        if is_new {
            self.undurable_since.get_or_insert(now);
        }
        let is_due = self.undurable_since.is_some_and(|since| match self.rules.durability {
            Durability::EachRecord => true,
            Durability::Interval(interval) => {
                !self.signed.is_empty() || now >= since.saturating_add(interval)
            }
            Durability::System => false,
        });
        if is_due || urgent {
            self.storage.sync().map_err(failed(true))?;
            self.undurable_since = None;
            self.queue.settle_durable();
        }
        self.pass_on();
        Ok(())
    }

    /// Ends the file with a checkpoint and starts the next one.
    fn rotate(&mut self, now: Duration) -> Result<(), Failure> {
        self.sign(Reason::Rotation, now);
        self.write(now, true)?;
        let (mut chain, mut first) = (self.chain.clone(), Vec::new());
        let opening = Opening {
            time: self.rules.clock.wall(),
            trail: &self.trail,
            number: self.number.saturating_add(1),
            after: After::Rotation,
            key: self.rules.key.public_key(),
            unsigned: None,
            torn: None,
        };
        opening.append(&mut chain, &mut first);
        match self.storage.rotate(self.number, &first) {
            Ok(()) => {
                self.chain = chain;
                self.number = self.number.saturating_add(1);
                self.in_file = 0;
                self.note_unsigned(now);
            }
            Err(error) => {
                // The records matter more than the size of the file.
                self.rotate_after = now.saturating_add(ROTATE_AGAIN);
                let path = Printable(self.rules.path.display());
                tracing::error!(%path, %error, "the audit trail cannot be rotated; its file grows on");
            }
        }
        Ok(())
    }

    /// Passes on the checkpoints that are written.
    fn pass_on(&mut self) {
        for checkpoint in self.signed.drain(..) {
            if let Some(take) = &self.rules.checkpoints.take {
                // The panic hook has reported it.
                let _panicked = catch_unwind(AssertUnwindSafe(|| take(&checkpoint)));
            }
        }
    }

    fn fail(&mut self, failure: Failure, now: Duration) {
        let Failure { error, of_sync } = failure;
        let next_try = now.saturating_add(RETRY);
        if let Some(outage) = &mut self.outage {
            outage.next_try = next_try;
            outage.of_sync |= of_sync;
            return;
        }
        self.queue.set_failing(true);
        let path = Printable(self.rules.path.display());
        tracing::error!(%path, %error, "the audit trail cannot be written");
        // The one before is not stated yet.
        let before = self.recovered.take();
        let since = before.map_or_else(|| self.rules.clock.wall(), |outage| outage.since);
        self.outage = Some(Outage { since, cause: error.to_string(), of_sync, next_try });
    }

    fn recover(&mut self) {
        if let Some(outage) = self.outage.take() {
            self.queue.set_failing(false);
            let path = Printable(self.rules.path.display());
            tracing::info!(%path, "the audit trail can be written again");
            self.recovered = Some(outage);
        }
    }
}

impl<S> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("seq", &self.chain.seq).finish_non_exhaustive()
    }
}

/// Empties a buffer and frees the memory of a burst.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    let room = buffer.len().saturating_mul(2).max(KEPT_CAPACITY);
    buffer.clear();
    buffer.shrink_to(room);
    buffer
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
