//! The form of a line of the trail and the chain from line to line.

use crate::sha256::Digest;

/// The longest line that a reader accepts. The writer's lines are shorter.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The kind of the record of a request.
pub(super) const REQUEST: &str = "request";
/// The kind of the first line of a file and of a start.
pub(super) const OPEN: &str = "open";
/// The kind of a signed line.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The kind of a line that states what is missing.
pub(super) const GAP: &str = "gap";

/// Returns whether a text is the name of a trail: 32 hexadecimal digits. It is written without escapes,
/// also into the text that is signed.
pub(super) fn is_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One line without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    /// The hash of the line before as it is written.
    pub(super) prev: &'a str,
    pub(super) kind: &'a str,
    /// The hash of this line as it is written.
    pub(super) hash: &'a str,
    /// The bytes that the hash is of.
    hashed: &'a str,
}

impl<'a> Line<'a> {
    /// Returns `None` if the bytes have another form than [`Chain::append`] writes.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?;
        let (hashed, hash) = line.strip_suffix("\"}")?.rsplit_once(",\"hash\":\"")?;
        let (seq, rest) = hashed.strip_prefix("{\"seq\":")?.split_once(",\"prev\":\"")?;
        let (prev, rest) = rest.split_once("\",\"kind\":\"")?;
        let (kind, _) = rest.split_once('"')?;
        // A number has one spelling.
        let number = seq.parse::<u64>().ok().filter(|number| number.to_string() == seq)?;
        Some(Self { seq: number, prev, kind, hash, hashed })
    }

    /// Returns whether the line is the one that was written, by its own hash.
    pub(super) fn is_intact(&self) -> bool {
        Digest::of(self.hashed.as_bytes()).to_hex() == self.hash
    }

    /// Returns the line as the parser of JSON reads it.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&format!("{}}}", self.hashed)).ok()
    }
}

/// The end of a chain, to which lines are appended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Chain {
    /// The number of the next line.
    pub(super) seq: u64,
    /// The hash of the last line.
    pub(super) head: Digest,
}

impl Chain {
    /// The chain without lines.
    pub(super) const EMPTY: Self = Self { seq: 0, head: Digest::ZERO };

    /// Appends a line to `into`. `members` are of JSON, each with a comma before it.
    pub(super) fn append(&mut self, into: &mut Vec<u8>, kind: &str, members: &[u8]) {
        let start = into.len();
        into.extend_from_slice(b"{\"seq\":");
        into.extend_from_slice(self.seq.to_string().as_bytes());
        into.extend_from_slice(b",\"prev\":\"");
        into.extend_from_slice(self.head.to_hex().as_bytes());
        into.extend_from_slice(b"\",\"kind\":\"");
        into.extend_from_slice(kind.as_bytes());
        into.push(b'"');
        into.extend_from_slice(members);
        self.head = Digest::of(into.get(start..).unwrap_or_default());
        into.extend_from_slice(b",\"hash\":\"");
        into.extend_from_slice(self.head.to_hex().as_bytes());
        into.extend_from_slice(b"\"}\n");
        self.seq = self.seq.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_is_json_and_has_the_hash_of_the_one_before() {
        let (mut chain, mut lines) = (Chain::EMPTY, Vec::new());
        chain.append(&mut lines, REQUEST, b"");
        chain.append(&mut lines, GAP, br#","lost":3"#);
        let lines = String::from_utf8(lines).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        let [first, second] = *lines else { panic!("{lines:?}") };
        let zeros = "0".repeat(64);
        let hashed = format!(r#"{{"seq":0,"prev":"{zeros}","kind":"request""#);
        let hash = Digest::of(hashed.as_bytes()).to_hex();
        assert_eq!(first, format!(r#"{hashed},"hash":"{hash}"}}"#));
        let value: Value = serde_json::from_str(second).unwrap();
        assert_eq!(
            (&value["seq"], &value["prev"], &value["lost"]),
            (&json!(1), &json!(hash), &json!(3))
        );
        let line = Line::parse(second.as_bytes()).unwrap();
        assert_eq!((line.seq, line.prev, line.kind), (1, &*hash, GAP));
        assert!(line.is_intact());
        assert_eq!(line.hash, chain.head.to_hex());
        assert_eq!(line.json().unwrap()["lost"], 3);
    }

    #[test]
    fn any_changed_byte_makes_another_line() {
        let (mut chain, mut lines) = (Chain { seq: 41, head: Digest::ZERO }, Vec::new());
        chain.append(&mut lines, REQUEST, br#","path":"/v1/models""#);
        lines.pop();
        for at in 0..lines.len() {
            for change in [1_u8, 0x20, 0x80] {
                let mut changed = lines.clone();
                changed[at] ^= change;
                assert!(!Line::parse(&changed).is_some_and(|line| line.is_intact()), "{at}");
            }
            let mut shorter = lines.clone();
            shorter.remove(at);
            assert!(!Line::parse(&shorter).is_some_and(|line| line.is_intact()), "{at}");
        }
    }
}
