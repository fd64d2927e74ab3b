use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    error::{AuditError, AuditFault},
    key::{AuditKey, AuditPublicKey},
    line::{CHECKPOINT, Chain, Line},
};
use crate::json_object::{JsonObject, member_name};

/// The reason for a checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// The trail was opened.
    Start,
    /// The bound on records or on time was reached.
    Interval,
    /// The file ends.
    Rotation,
    /// The trail was closed. Nothing follows but another start.
    Close,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::Rotation => "rotation",
            Self::Close => "close",
        }
    }
}

/// A signed statement of the trail so far: its number of records, the hash of the last one and the
/// time.
///
/// The trail has each as a line of its own. Kept in another place, a checkpoint also proves that
/// nothing was cut off the end. It prints as that line and is parsed from it.
#[derive(Clone, Eq, PartialEq)]
pub struct Checkpoint {
    line: Arc<str>,
    seq: u64,
    trail: Arc<str>,
    time: Box<str>,
    pub(super) reason: Box<str>,
    head: Box<str>,
    key: AuditPublicKey,
    signature: Box<[u8]>,
}

impl Checkpoint {
    /// Appends a checkpoint to `chain` and to `into`.
    pub(super) fn sign(
        chain: &mut Chain,
        into: &mut Vec<u8>,
        trail: &Arc<str>,
        time: &str,
        reason: Reason,
        key: &AuditKey,
    ) -> Self {
        let (seq, head, reason) = (chain.seq, chain.head.to_hex(), reason.as_str());
        let signature = key.sign(&signed_text(trail, seq, &head, time, reason));
        let mut object = JsonObject::default();
        object.plain(member_name!("trail"), Some(trail));
        object.plain(member_name!("time"), Some(time));
        object.plain(member_name!("reason"), Some(reason));
        object.plain(member_name!("key"), Some(&key.public_key().to_string()));
        object.plain(member_name!("signature"), Some(&STANDARD.encode(signature)));
        let start = into.len();
        chain.append(into, CHECKPOINT, object.written());
        let line = into.get(start..).unwrap_or_default().trim_ascii_end();
        Self {
            line: String::from_utf8_lossy(line).into(),
            seq,
            trail: Arc::clone(trail),
            time: time.into(),
            reason: reason.into(),
            head: head.into(),
            key: key.public_key(),
            signature: signature.into(),
        }
    }

    /// Reads the checkpoint of an intact line.
    pub(super) fn of(line: &Line<'_>, text: &[u8]) -> Option<Self> {
        let value = line.json().filter(|_| line.kind == CHECKPOINT)?;
        let member = |name: &str| value.get(name)?.as_str();
        Some(Self {
            line: str::from_utf8(text).ok()?.into(),
            seq: line.seq,
            trail: member("trail")?.into(),
            time: member("time")?.into(),
            reason: member("reason")?.into(),
            head: line.prev.into(),
            key: member("key")?.parse().ok()?,
            signature: STANDARD.decode(member("signature")?).ok()?.into(),
        })
    }

    /// Returns the number of the checkpoint's own line. It proves all lines with lower numbers.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the random name of the trail, 32 hexadecimal digits.
    #[must_use]
    pub fn trail(&self) -> &str {
        &self.trail
    }

    /// Returns the time of the signature: RFC 3339 in UTC with milliseconds.
    #[must_use]
    pub fn time(&self) -> &str {
        &self.time
    }

    /// Returns the public key that the checkpoint names as its own.
    #[must_use]
    pub const fn public_key(&self) -> AuditPublicKey {
        self.key
    }

    /// Returns whether this key has signed the checkpoint.
    #[must_use]
    pub fn is_signed_by(&self, key: &AuditPublicKey) -> bool {
        let text = signed_text(&self.trail, self.seq, &self.head, &self.time, &self.reason);
        key.verifies(&text, &self.signature)
    }
}

/// The bytes that are signed. The first line keeps the signature from standing for anything else.
fn signed_text(trail: &str, seq: u64, head: &str, time: &str, reason: &str) -> Vec<u8> {
    format!(
        "tower-inference audit checkpoint 1\ntrail {trail}\nseq {seq}\nhead {head}\ntime {time}\n\
         reason {reason}\n"
    )
    .into_bytes()
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("trail", &self.trail)
            .field("seq", &self.seq)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl FromStr for Checkpoint {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let text = text.trim().as_bytes();
        let line = Line::parse(text).filter(Line::is_intact);
        line.and_then(|line| Self::of(&line, text))
            .ok_or_else(|| AuditError::new(AuditFault::MalformedCheckpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_its_signature_covers_each_part() {
        let key = AuditKey::from_bytes(&[3; 32]).unwrap();
        let other = AuditKey::from_bytes(&[4; 32]).unwrap().public_key();
        let (mut chain, mut lines) = (Chain { seq: 9, ..Chain::EMPTY }, Vec::new());
        let (trail, time) = (Arc::from("00ff"), "2026-01-01T00:00:00.000Z");
        let signed = Checkpoint::sign(&mut chain, &mut lines, &trail, time, Reason::Close, &key);
        assert_eq!(chain.seq, 10);
        assert_eq!(lines, format!("{signed}\n").into_bytes());
        let read: Checkpoint = signed.to_string().parse().unwrap();
        assert_eq!(read, signed);
        assert_eq!(
            (read.seq(), read.trail(), read.time(), &*read.reason),
            (9, "00ff", time, "close")
        );
        assert!(read.is_signed_by(&key.public_key()) && !read.is_signed_by(&other));

        let changes: [fn(&mut Checkpoint); 5] = [
            |it| it.seq += 1,
            |it| it.trail = "00fe".into(),
            |it| it.time = "2026-01-01T00:00:00.001Z".into(),
            |it| it.reason = "start".into(),
            |it| it.head = "1".repeat(64).into(),
        ];
        for change in changes {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!changed.is_signed_by(&key.public_key()), "{changed}");
        }
        for text in ["", "{}", &signed.to_string().replace("close", "start")] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text}");
        }
    }
}
