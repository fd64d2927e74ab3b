use std::{
    io::{self, Write},
    sync::Arc,
};

use super::loss::loss;
use crate::secret::Scrubber;

/// The capacity that a buffer keeps after a burst.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Lines that the writer thread writes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// The lost lines that the last line of the batch reports.
    pub(super) lost: u64,
    pub(super) scrubbers: Arc<[Scrubber]>,
}

impl Batch {
    /// Removes the secrets and appends the report of lost lines.
    pub(super) fn finish(&mut self) {
        for scrubber in &*self.scrubbers {
            if scrubber.is_in(&self.bytes) {
                self.bytes = scrubbed(&self.bytes, scrubber);
            }
        }
        if self.lost > 0 {
            self.bytes.extend_from_slice(&loss(self.lost));
            self.bytes.push(b'\n');
        }
    }

    /// Empties the batch and frees the memory of a burst.
    pub(super) fn clear(&mut self) {
        let room = self.bytes.len().saturating_mul(2).max(KEPT_CAPACITY);
        self.bytes.clear();
        self.bytes.shrink_to(room);
    }

    /// Writes the batch. Returns how many lines the writer took. `torn` remembers between batches
    /// that the writer has the start of a line without its end.
    pub(super) fn write(&self, writer: &mut impl Write, torn: &mut bool) -> u64 {
        // Ends the torn line before the next one.
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
            // Some of the lines may be lost inside the writer.
            return 0;
        }
        if left.is_empty() {
            return self.lines + u64::from(self.lost > 0);
        }
        taken.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// Scrubs line by line, which bounds the memory of the search.
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
