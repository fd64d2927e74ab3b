//! One pass over the lines of a trail.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::report::{AuditBreak, AuditReport, BreakFault, KnownCheckpoint};
use crate::audit::{
    checkpoint::Checkpoint,
    key::AuditPublicKey,
    line::{CHECKPOINT, GAP, Line, OPEN, REQUEST},
    opening::After,
};

pub(super) struct Walk<'a> {
    keys: &'a [AuditPublicKey],
    known: Option<&'a Checkpoint>,
    report: AuditReport,
    file: Arc<PathBuf>,
    line: u64,
    /// The last line that is right by its own hash.
    last: Option<LastLine>,
    trail: Option<Box<str>>,
    /// The key that signs, as the last opening names it.
    key: Option<AuditPublicKey>,
}

struct LastLine {
    seq: u64,
    hash: Box<str>,
    file: Arc<PathBuf>,
    line: u64,
}

/// A fault of the present line, or of the line before it.
enum Found {
    Here(BreakFault),
    Before(BreakFault),
}

impl<'a> Walk<'a> {
    pub(super) fn new(keys: &'a [AuditPublicKey], known: Option<&'a Checkpoint>) -> Self {
        Self {
            keys,
            known,
            report: AuditReport::default(),
            file: Arc::default(),
            line: 0,
            last: None,
            // Its files may start after the known checkpoint, which is then found nowhere.
            trail: known.map(|known| known.trail().into()),
            key: None,
        }
    }

    /// Goes on with the first line of a file.
    pub(super) fn file(&mut self, path: &Path) {
        self.file = Arc::new(path.to_owned());
        self.line = 0;
    }

    /// Notes the bytes at the end of the last file that are not a line.
    pub(super) const fn incomplete(&mut self, bytes: usize) {
        self.report.incomplete_bytes = bytes as u64;
    }

    /// Ends a file. Returns false if it has no line: a file is given its name with its first one.
    pub(super) fn end_file(&mut self) -> bool {
        if self.line == 0 {
            self.line = 1;
            self.report.broken = Some(self.broken_here(BreakFault::NoOpening));
        }
        self.report.broken.is_none()
    }

    /// Takes a line with its end. Returns false at the first record that is wrong.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        self.line += 1;
        let checked = match line.strip_suffix(b"\n") {
            Some(text) => self.check(text),
            // It is too long, or in an earlier file.
            None => Err(Found::Here(BreakFault::Edited)),
        };
        let Err(found) = checked else { return true };
        self.report.broken = Some(match (found, &self.last) {
            (Found::Before(fault), Some(last)) => {
                AuditBreak { file: (*last.file).clone(), line: last.line, seq: last.seq, fault }
            }
            (Found::Here(fault) | Found::Before(fault), _) => self.broken_here(fault),
        });
        false
    }

    fn broken_here(&self, fault: BreakFault) -> AuditBreak {
        AuditBreak { file: (*self.file).clone(), line: self.line, seq: self.expected(), fault }
    }

    /// The number of the next line.
    fn expected(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.seq.saturating_add(1))
    }

    fn check(&mut self, text: &[u8]) -> Result<(), Found> {
        let here = |fault| Err(Found::Here(fault));
        let Some(line) = Line::parse(text).filter(Line::is_intact) else {
            return here(BreakFault::Edited);
        };
        match &self.last {
            Some(last) if line.seq != last.seq.saturating_add(1) => {
                return here(BreakFault::Displaced { found: line.seq });
            }
            Some(last) if line.prev != &*last.hash => {
                return Err(Found::Before(BreakFault::Replaced));
            }
            None if line.seq == 0 && line.prev.bytes().any(|digit| digit != b'0') => {
                return here(BreakFault::Edited);
            }
            _ => {}
        }
        if self.line == 1 && line.kind != OPEN {
            return here(BreakFault::NoOpening);
        }
        if let Some(known) = self.known.filter(|known| known.seq() == line.seq) {
            if text != known.to_string().as_bytes() {
                return here(BreakFault::NotKnown);
            }
            self.report.known = KnownCheckpoint::Found;
        }
        match line.kind {
            CHECKPOINT => self.checkpoint(&line, text)?,
            OPEN => self.opening(&line)?,
            GAP => self.gap(&line),
            REQUEST => self.report.requests += 1,
            // A later version may have more kinds.
            _ => {}
        }
        self.report.unproven = if line.kind == CHECKPOINT { 0 } else { self.report.unproven + 1 };
        self.report.lines += 1;
        self.report.first_seq.get_or_insert(line.seq);
        self.report.last_seq = Some(line.seq);
        self.last = Some(LastLine {
            seq: line.seq,
            hash: line.hash.into(),
            file: Arc::clone(&self.file),
            line: self.line,
        });
        Ok(())
    }

    fn checkpoint(&mut self, line: &Line<'_>, text: &[u8]) -> Result<(), Found> {
        let after = self.report.checkpoint.as_ref().map(Checkpoint::seq);
        let resealed = || Found::Here(BreakFault::Resealed { after });
        let checkpoint = Checkpoint::of(line, text).ok_or_else(resealed)?;
        let own = checkpoint.public_key();
        // A key changes with a start, which states it.
        if self.key != Some(own) || !checkpoint.is_signed_by(&own) {
            return Err(resealed());
        }
        if !self.keys.contains(&own) {
            return Err(Found::Here(BreakFault::UnknownKey));
        }
        self.same_trail(checkpoint.trail())?;
        self.report.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn opening(&mut self, line: &Line<'_>) -> Result<(), Found> {
        let Some(value) = line.json() else { return Err(Found::Here(BreakFault::Edited)) };
        let member = |name: &str| value.get(name)?.as_str();
        self.same_trail(member("trail").unwrap_or_default())?;
        self.key = member("key").and_then(|key| key.parse().ok());
        if value.get("after").is_some_and(|after| after == After::Crash.as_str()) {
            self.report.crashes += 1;
            self.report.signed_late = self.report.signed_late.saturating_add(self.report.unproven);
        }
        let torn = value.get("torn").and_then(|torn| torn.get("bytes")?.as_u64());
        // Lines that nothing proves yet may have any number.
        self.report.torn_bytes = self.report.torn_bytes.saturating_add(torn.unwrap_or(0));
        Ok(())
    }

    fn gap(&mut self, line: &Line<'_>) {
        let value = line.json();
        let member = |name: &str| value.as_ref()?.get(name)?.as_u64();
        let add = |sum: u64, name: &str| sum.saturating_add(member(name).unwrap_or(0));
        self.report.gaps += 1;
        self.report.lost = add(self.report.lost, "lost");
        self.report.turned_away = add(self.report.turned_away, "turned_away");
    }

    fn same_trail(&mut self, trail: &str) -> Result<(), Found> {
        if *trail == **self.trail.get_or_insert_with(|| trail.into()) {
            Ok(())
        } else {
            Err(Found::Here(BreakFault::OtherTrail))
        }
    }

    /// The report of the lines so far.
    pub(super) fn report(&mut self) -> AuditReport {
        if let Some(known) = self.known
            && self.report.known != KnownCheckpoint::Found
        {
            let is_before = self.report.first_seq.is_some_and(|first| first > known.seq());
            self.report.known =
                if is_before { KnownCheckpoint::BeforeStart } else { KnownCheckpoint::NotReached };
            if !is_before && self.report.broken.is_none() {
                self.line += 1;
                let cut = BreakFault::Cut { known: known.seq() };
                self.report.broken = Some(self.broken_here(cut));
            }
        }
        mem::take(&mut self.report)
    }
}
