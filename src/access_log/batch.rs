use std::{
    io::{self, Write},
    sync::Arc,
};

use super::json;
use crate::secret::Scrubber;

/// What a buffer keeps of its room at least, when a burst is over.
const KEPT: usize = 64 * 1024;

/// Lines that are being written.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// How many lost lines the last line tells of.
    pub(super) lost: u64,
    pub(super) scrubbers: Arc<[Scrubber]>,
}

impl Batch {
    /// Makes the bytes those that are to be written: without secrets, and with what is lost told.
    pub(super) fn finish(&mut self) {
        for scrubber in &*self.scrubbers {
            if scrubber.is_in(&self.bytes) {
                self.bytes = scrubbed(&self.bytes, scrubber);
            }
        }
        if self.lost > 0 {
            self.bytes.extend_from_slice(&json::loss(self.lost));
            self.bytes.push(b'\n');
        }
    }

    /// Empties it, and gives back the room that a burst took.
    pub(super) fn clear(&mut self) {
        let room = self.bytes.len().saturating_mul(2).max(KEPT);
        self.bytes.clear();
        self.bytes.shrink_to(room);
    }

    /// Gives how many of the lines the writer took. `torn` says, from one batch to the next, that
    /// the writer has the start of a line without its end.
    pub(super) fn write(&self, writer: &mut impl Write, torn: &mut bool) -> u64 {
        // So that what follows a torn line is not part of it.
        if *torn && writer.write_all(b"\n").is_err() {
            return 0;
        }
        let mut left = &*self.bytes;
        while !left.is_empty() {
            match writer.write(left) {
                Ok(0) => break,
                Ok(taken) => left = left.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let taken = self.bytes.get(..self.bytes.len() - left.len()).unwrap_or_default();
        *torn = taken.last().is_some_and(|last| *last != b'\n');
        if writer.flush().is_err() {
            // Who knows what of it is there.
            return 0;
        }
        if left.is_empty() {
            return self.lines + u64::from(self.lost > 0);
        }
        taken.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// By lines, which bounds the memory that the search takes.
fn scrubbed(lines: &[u8], scrubber: &Scrubber) -> Vec<u8> {
    let mut scrubbed = Vec::with_capacity(lines.len());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        match scrubber.redacted(line) {
            Some(line) => scrubbed.extend_from_slice(&line),
            None => scrubbed.extend_from_slice(line),
        }
    }
    scrubbed
}
