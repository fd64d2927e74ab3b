use std::{fmt, path::PathBuf};

use crate::{audit::checkpoint::Checkpoint, printable::Printable};

/// The result of [`verify`](super::verify).
///
/// It prints as the sentences of an audit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AuditReport {
    /// The first record that is wrong. The counts below end before it.
    pub broken: Option<AuditBreak>,
    /// Lines of all kinds.
    pub lines: u64,
    /// Records of requests.
    pub requests: u64,
    /// The number of the first line. It is 0 unless earlier files are missing.
    pub first_seq: Option<u64>,
    /// The number of the last line.
    pub last_seq: Option<u64>,
    /// The last checkpoint. It proves all lines before it.
    pub checkpoint: Option<Checkpoint>,
    /// Lines after the last checkpoint. Anybody who can write the file could have changed or cut them.
    pub unproven: u64,
    /// Lines that were signed only at the start after a crash. Until then they were unproven.
    pub signed_late: u64,
    /// Whether the trail has the checkpoint that was kept in another place.
    pub known: KnownCheckpoint,
    /// Starts after a process that did not close the trail.
    pub crashes: u64,
    /// Times in which the trail could not be written.
    pub gaps: u64,
    /// Requests that were served and have no record, as the gaps state.
    pub lost: u64,
    /// Requests that were rejected in the gaps and have no record.
    pub turned_away: u64,
    /// Bytes of unfinished writes that starts have kept aside.
    pub torn_bytes: u64,
    /// Bytes at the end of the last file that are not a line: a write in progress or cut off.
    pub incomplete_bytes: u64,
}

/// Whether a trail has the checkpoint that was kept in another place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum KnownCheckpoint {
    /// None was given.
    #[default]
    NotGiven,
    /// The trail has it.
    Found,
    /// The files start after it. It proves nothing about them.
    BeforeStart,
    /// The trail is broken before it.
    NotReached,
}

/// The first record that is wrong and its place.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditBreak {
    /// The file.
    pub file: PathBuf,
    /// The line in the file. The first is 1.
    pub line: u64,
    /// The number that the record of this place has in the trail.
    pub seq: u64,
    /// The fault.
    pub fault: BreakFault,
}

/// The fault of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BreakFault {
    /// The record is not the one that was written: its own hash differs.
    Edited,
    /// The record is not the one that was written: the next record names another hash.
    Replaced,
    /// Another record is in this place: some were removed, repeated or moved.
    Displaced {
        /// The number of that record.
        found: u64,
    },
    /// This checkpoint is not signed by the key of the last start. A record after the checkpoint before
    /// it, or the checkpoint itself, was changed and the hashes were recomputed.
    Resealed {
        /// The number of the last checkpoint that is right.
        after: Option<u64>,
    },
    /// None of the given public keys is that of this checkpoint.
    UnknownKey,
    /// The record belongs to another trail.
    OtherTrail,
    /// A file does not start with the record that opens it, or is empty.
    NoOpening,
    /// The trail ends before the known checkpoint.
    Cut {
        /// The number of the known checkpoint.
        known: u64,
    },
    /// The known checkpoint was in this place and is not. The trail was cut or rewritten at or before
    /// it.
    NotKnown,
}

impl AuditReport {
    /// Returns whether no record was found that is wrong.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            Some(broken) => writeln!(f, "BROKEN: {broken}")?,
            None => writeln!(f, "intact: no record was edited, removed or moved")?,
        }
        let (lines, requests) = (self.lines, self.requests);
        writeln!(f, "{lines} lines are right, {requests} of them are records of requests")?;
        if let Some(first) = self.first_seq.filter(|first| *first > 0) {
            writeln!(f, "the files start at record {first}: earlier ones were not given")?;
        }
        match &self.checkpoint {
            Some(signed) => writeln!(
                f,
                "proven by the checkpoint {} of {}: all before it",
                signed.seq(),
                Printable(signed.time())
            )?,
            None => writeln!(f, "unproven: there is no checkpoint")?,
        }
        if self.unproven > 0 {
            writeln!(f, "unproven: {} lines after the last checkpoint", self.unproven)?;
        }
        match self.known {
            KnownCheckpoint::NotGiven => writeln!(
                f,
                "unproven: whether the end was cut off, because no known checkpoint was given"
            )?,
            KnownCheckpoint::Found => writeln!(f, "the trail has the known checkpoint")?,
            KnownCheckpoint::BeforeStart => {
                writeln!(f, "unproven: the files start after the known checkpoint")?;
            }
            KnownCheckpoint::NotReached => {}
        }
        if self.crashes > 0 {
            writeln!(
                f,
                "{} starts followed a crash; {} lines were signed only then",
                self.crashes, self.signed_late
            )?;
        }
        if self.gaps > 0 {
            writeln!(
                f,
                "{} gaps: {} requests were served and {} rejected without a record",
                self.gaps, self.lost, self.turned_away
            )?;
        }
        if self.torn_bytes > 0 {
            writeln!(f, "{} bytes of unfinished writes were kept aside", self.torn_bytes)?;
        }
        if self.incomplete_bytes > 0 {
            writeln!(f, "the last line is incomplete: {} bytes", self.incomplete_bytes)?;
        }
        Ok(())
    }
}

impl fmt::Display for AuditBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        write!(f, "{} line {}: ", Printable(self.file.display()), self.line)?;
        match &self.fault {
            BreakFault::Edited => write!(f, "record {seq} was edited"),
            BreakFault::Replaced => {
                write!(f, "record {seq} was replaced: the next record names another hash")
            }
            BreakFault::Displaced { found } => {
                write!(f, "record {seq} is missing here: record {found} is in its place")
            }
            BreakFault::Resealed { after: Some(after) } => write!(
                f,
                "checkpoint {seq} is forged: a record from {} to {seq} was changed",
                after.saturating_add(1)
            ),
            BreakFault::Resealed { after: None } => {
                write!(f, "checkpoint {seq} is forged: a record up to it was changed")
            }
            BreakFault::UnknownKey => {
                write!(f, "checkpoint {seq} is signed by a key that was not given")
            }
            BreakFault::OtherTrail => write!(f, "record {seq} belongs to another trail"),
            BreakFault::NoOpening => {
                write!(f, "record {seq} does not open the file: the start was removed")
            }
            BreakFault::Cut { known } => {
                write!(f, "record {seq} is missing: the trail was cut before checkpoint {known}")
            }
            BreakFault::NotKnown => write!(
                f,
                "record {seq} is not the known checkpoint: the trail was cut or rewritten"
            ),
        }
    }
}
