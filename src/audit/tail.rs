//! Finds the end of a trail that a process left, perhaps in the middle of a write.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    sync::Arc,
};

use super::{
    checkpoint::{Checkpoint, Reason},
    line::{CHECKPOINT, Chain, Line, MAX_LINE_BYTES, OPEN, is_name},
};
use crate::sha256::Digest;

/// How far from its end a file is searched for its last intact line.
const WINDOW: u64 = 8 * 1024 * 1024;

/// The end of a file of a trail.
pub(super) struct Tail {
    pub(super) trail: Arc<str>,
    pub(super) number: u64,
    pub(super) chain: Chain,
    /// Where the last intact line ends.
    pub(super) end: u64,
    /// The last intact line lacks its line end.
    pub(super) unterminated: bool,
    /// The bytes after it.
    pub(super) torn: Vec<u8>,
    /// The last process closed the trail.
    pub(super) closed: bool,
    /// Lines after the last checkpoint. `None` when that is further away than the search goes.
    pub(super) unsigned: Option<u64>,
}

impl Tail {
    /// Reads the end of a file. Returns `None` if it has no line that is intact.
    pub(super) fn read(mut file: &File) -> io::Result<Option<Self>> {
        let mut first = Vec::new();
        let bounded = BufReader::new(file.take(MAX_LINE_BYTES as u64));
        let _length = { bounded }.read_until(b'\n', &mut first)?;
        let Some((trail, number)) = opening(first.trim_ascii_end()) else { return Ok(None) };

        let length = file.metadata()?.len();
        let start = length.saturating_sub(WINDOW);
        file.seek(SeekFrom::Start(start))?;
        let mut window = Vec::new();
        file.take(length - start).read_to_end(&mut window)?;
        let Some(last) = LastLines::of(&window) else { return Ok(None) };
        Ok(Some(Self {
            trail,
            number,
            chain: last.chain,
            end: start + last.end as u64,
            unterminated: last.unterminated,
            torn: window.get(last.end..).unwrap_or_default().to_vec(),
            closed: last.closed,
            unsigned: last.unsigned,
        }))
    }
}

/// The name of the trail and the number of the file from its first line.
fn opening(line: &[u8]) -> Option<(Arc<str>, u64)> {
    let line = Line::parse(line).filter(|line| line.kind == OPEN && line.is_intact())?;
    let value = line.json()?;
    let trail = value.get("trail")?.as_str().filter(|name| is_name(name))?;
    Some((trail.into(), value.get("file")?.as_u64()?))
}

struct LastLines {
    chain: Chain,
    end: usize,
    unterminated: bool,
    closed: bool,
    unsigned: Option<u64>,
}

impl LastLines {
    fn of(window: &[u8]) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut end = window.len();
        // From the last line backwards. Each piece has its line end except perhaps the last one.
        for piece in window.split_inclusive(|byte| *byte == b'\n').rev() {
            let at = end;
            end -= piece.len();
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let line = Line::parse(text).filter(Line::is_intact);
            match (&mut found, line) {
                (None, None) => {}
                // The count of unsigned lines ends where the lines do.
                (Some(_), None) => break,
                (None, Some(line)) => {
                    let checkpoint = Checkpoint::of(&line, text);
                    let is_close = |it: &Checkpoint| &*it.reason == Reason::Close.as_str();
                    let head = Digest::from_hex(line.hash.as_bytes())?;
                    found = Some(Self {
                        chain: Chain { seq: line.seq.checked_add(1)?, head },
                        end: at,
                        unterminated: piece.len() == text.len(),
                        closed: checkpoint.as_ref().is_some_and(is_close),
                        unsigned: checkpoint.as_ref().map(|_| 0),
                    });
                    if checkpoint.is_some() {
                        break;
                    }
                }
                (Some(last), Some(line)) if line.kind == CHECKPOINT => {
                    // The numbers of lines that somebody else wrote can be any.
                    last.unsigned = last.chain.seq.checked_sub(line.seq.saturating_add(1));
                    break;
                }
                (Some(_), Some(_)) => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{key::AuditKey, line::REQUEST};

    #[test]
    fn the_last_intact_line_is_found_wherever_a_write_was_cut() {
        let key = AuditKey::from_bytes(&[1; 32]).unwrap();
        let (mut chain, mut lines) = (Chain::EMPTY, Vec::new());
        let trail: Arc<str> = "0123456789abcdef".repeat(2).into();
        let first = format!(",\"trail\":\"{trail}\",\"file\":1");
        chain.append(&mut lines, OPEN, first.as_bytes());
        Checkpoint::sign(&mut chain, &mut lines, &trail, "t", Reason::Close, &key);
        let signed = lines.len();
        let last = LastLines::of(&lines).unwrap();
        assert_eq!((last.closed, last.unsigned, last.end), (true, Some(0), signed));

        chain.append(&mut lines, REQUEST, b"");
        let before = (chain.clone(), lines.len());
        chain.append(&mut lines, REQUEST, br#","path":"/""#);
        for cut in before.1..lines.len() - 1 {
            let last = LastLines::of(&lines[..cut]).unwrap();
            assert_eq!((&last.chain, last.end), (&before.0, before.1), "{cut}");
            assert_eq!((last.closed, last.unsigned, last.unterminated), (false, Some(1), false));
        }
        let last = LastLines::of(&lines[..lines.len() - 1]).unwrap();
        assert_eq!((&last.chain, last.end), (&chain, lines.len() - 1));
        assert_eq!((last.unsigned, last.unterminated), (Some(2), true));
        // A power failure can leave zeros, and lines of which only a part was written.
        let mut damaged = lines.clone();
        damaged.extend_from_slice(&[0; 4_096]);
        damaged.extend_from_slice(b"\n{\"seq\":9\n");
        assert_eq!(LastLines::of(&damaged).unwrap().end, lines.len());
        assert!(LastLines::of(&lines[signed + 1..signed + 9]).is_none());
        let tail = opening(lines.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        assert_eq!(tail, (trail, 1));
    }

    #[test]
    fn lines_of_somebody_else_stop_nothing_and_name_no_trail() {
        let key = AuditKey::from_bytes(&[1; 32]).unwrap();
        // A checkpoint with a higher number than the line after it.
        let mut lines = Vec::new();
        let mut chain = Chain { seq: 100, ..Chain::EMPTY };
        let trail: Arc<str> = "0".repeat(32).into();
        Checkpoint::sign(&mut chain, &mut lines, &trail, "t", Reason::Interval, &key);
        Chain { seq: 5, ..chain }.append(&mut lines, REQUEST, b"");
        let last = LastLines::of(&lines).unwrap();
        assert_eq!((last.chain.seq, last.unsigned), (6, None));
        // The last number.
        let mut lines = Vec::new();
        Chain { seq: u64::MAX - 1, ..Chain::EMPTY }.append(&mut lines, REQUEST, b"");
        let mut chain = LastLines::of(&lines).unwrap().chain;
        chain.append(&mut lines, REQUEST, b"");
        assert_eq!(chain.seq, u64::MAX);

        for name in
            ["", "ab", &"0".repeat(33), &"A".repeat(32), "a\\nseq 1\\nhead 0123456789abcdef0"]
        {
            let mut lines = Vec::new();
            let first = format!(",\"trail\":\"{name}\",\"file\":1");
            Chain::EMPTY.clone().append(&mut lines, OPEN, first.as_bytes());
            assert!(opening(lines.trim_ascii_end()).is_none(), "{name}");
        }
    }
}
