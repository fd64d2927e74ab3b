use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    error::{AuditError, AuditFault},
    key::{AuditKey, AuditPublicKey},
    line::{CHECKPOINT, Chain, Line},
};
use crate::{
    json_object::{JsonObject, member_name},
    sha256::Digest,
};

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
        let start = into.len();
        let members = members(trail, time, reason, &key.public_key(), &signature);
        chain.append(into, CHECKPOINT, members.written());
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

    /// Reads the checkpoint of an intact line. Returns `None` if the line has another spelling than
    /// [`sign`](Self::sign) writes.
    ///
    /// The signature does not cover the whole line. A member that is added or repeated, or a line end that
    /// is escaped in a value, could say something else than was signed.
    pub(super) fn of(line: &Line<'_>, text: &[u8]) -> Option<Self> {
        let value = line.json().filter(|_| line.kind == CHECKPOINT)?;
        let member = |name: &str| value.get(name)?.as_str();
        let checkpoint = Self {
            line: str::from_utf8(text).ok()?.into(),
            seq: line.seq,
            trail: member("trail")?.into(),
            time: member("time")?.into(),
            reason: member("reason")?.into(),
            head: line.prev.into(),
            key: member("key")?.parse().ok()?,
            signature: STANDARD.decode(member("signature")?).ok()?.into(),
        };
        let Self { trail, time, reason, key, signature, .. } = &checkpoint;
        let members = members(trail, time, reason, key, signature);
        let mut chain = Chain { seq: line.seq, head: Digest::from_hex(line.prev.as_bytes())? };
        let mut written = Vec::with_capacity(text.len() + 1);
        chain.append(&mut written, CHECKPOINT, members.written());
        (written.strip_suffix(b"\n") == Some(text)).then_some(checkpoint)
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

/// The members of a checkpoint's line. None of the values needs an escape.
fn members(
    trail: &str,
    time: &str,
    reason: &str,
    key: &AuditPublicKey,
    signature: &[u8],
) -> JsonObject {
    let mut object = JsonObject::default();
    object.plain(member_name!("trail"), Some(trail));
    object.plain(member_name!("time"), Some(time));
    object.plain(member_name!("reason"), Some(reason));
    object.plain(member_name!("key"), Some(&key.to_string()));
    object.plain(member_name!("signature"), Some(&STANDARD.encode(signature)));
    object
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

    /// Returns the line with other members and its own hash computed anew.
    fn changed(checkpoint: &Checkpoint, change: impl Fn(&str) -> String) -> String {
        let text = checkpoint.to_string();
        let (hashed, _) = text.rsplit_once(",\"hash\"").unwrap();
        let hashed = change(hashed);
        let hash = Digest::of(hashed.as_bytes()).to_hex();
        format!("{hashed},\"hash\":\"{hash}\"}}")
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let key = AuditKey::from_bytes(&[3; 32]).unwrap();
        let (mut chain, mut lines, trail) = (Chain::EMPTY, Vec::new(), Arc::from("00ff"));
        let time = "2026-01-01T00:00:00.000Z";
        let signed = Checkpoint::sign(&mut chain, &mut lines, &trail, time, Reason::Close, &key);
        assert_eq!(changed(&signed, str::to_owned).parse::<Checkpoint>().unwrap(), signed);
        let key = key.public_key().to_string();
        // Each one reads as the same signed values for a parser that takes the last of two members.
        for (from, to) in [
            ("\"trail\":", "\"trail\":\"other\",\"trail\":"),
            ("\"time\":", "\"note\":\"approved\",\"time\":"),
            ("\"reason\":\"close\"", "\"reason\":\"clos\\u0065\""),
            ("\"reason\":", "\"reason\": "),
            (&*key, &*key.to_uppercase()),
        ] {
            let text = changed(&signed, |hashed| hashed.replacen(from, to, 1));
            assert!(Line::parse(text.as_bytes()).unwrap().is_intact(), "{text}");
            assert!(text.parse::<Checkpoint>().is_err(), "{text}");
        }
    }

    /// The name of a trail is in the signed text. One with line ends would let whoever writes the file
    /// before a start choose another text that the key signs.
    #[test]
    fn a_signature_over_a_chosen_name_stands_for_no_other_checkpoint() {
        let key = AuditKey::from_bytes(&[3; 32]).unwrap();
        let head = "1".repeat(64);
        let (forged_time, time) = ("2020-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z");
        let name = format!("00ff\nseq 900\nhead {head}\ntime {forged_time}\nreason close");
        let (mut chain, mut lines) = (Chain::EMPTY, Vec::new());
        let trail = Arc::from(&*name);
        let signed = Checkpoint::sign(&mut chain, &mut lines, &trail, time, Reason::Start, &key);
        let reason = format!("close\nseq 0\nhead {}\ntime {time}\nreason start", "0".repeat(64));
        let forged = Checkpoint {
            seq: 900,
            trail: "00ff".into(),
            time: forged_time.into(),
            reason: reason.into(),
            head: head.clone().into(),
            ..signed
        };
        // The two texts are the same.
        assert!(forged.is_signed_by(&key.public_key()));
        let signature = STANDARD.encode(&forged.signature);
        let reason = forged.reason.replace('\n', "\\n");
        let hashed = format!(
            "{{\"seq\":900,\"prev\":\"{head}\",\"kind\":\"checkpoint\",\"trail\":\"00ff\",\
             \"time\":\"{forged_time}\",\"reason\":\"{reason}\",\"key\":\"{}\",\
             \"signature\":\"{signature}\"",
            key.public_key()
        );
        let hash = Digest::of(hashed.as_bytes()).to_hex();
        let line = format!("{hashed},\"hash\":\"{hash}\"}}");
        assert!(Line::parse(line.as_bytes()).unwrap().is_intact());
        assert!(line.parse::<Checkpoint>().is_err());
    }
}
