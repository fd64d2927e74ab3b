//! The line that opens a file of a trail, after a rotation or a start.

use std::time::SystemTime;

use super::{
    key::AuditPublicKey,
    line::{Chain, OPEN},
};
use crate::json_object::{JsonObject, member_name, rfc3339};

/// The event that the line follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// Nothing: it starts the trail.
    Nothing,
    Rotation,
    /// A process that closed the trail.
    Close,
    /// A process that did not.
    Crash,
}

impl After {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Rotation => "rotation",
            Self::Close => "close",
            Self::Crash => "crash",
        }
    }
}

/// The members of the line.
pub(super) struct Opening<'a> {
    pub(super) time: SystemTime,
    pub(super) trail: &'a str,
    pub(super) number: u64,
    pub(super) after: After,
    pub(super) key: AuditPublicKey,
    /// Lines that only this start's checkpoint signs.
    pub(super) unsigned: Option<u64>,
    /// The unfinished write that was kept aside.
    pub(super) torn: Option<Torn>,
}

/// The bytes of an unfinished write.
pub(super) struct Torn {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) file: String,
}

impl Opening<'_> {
    pub(super) fn append(&self, chain: &mut Chain, into: &mut Vec<u8>) {
        let mut object = JsonObject::default();
        object.number(member_name!("version"), Some(1_u64));
        object.plain(member_name!("time"), str::from_utf8(&rfc3339(self.time)).ok());
        object.plain(member_name!("trail"), Some(self.trail));
        object.number(member_name!("file"), Some(self.number));
        object.plain(member_name!("after"), Some(self.after.as_str()));
        object.plain(member_name!("key"), Some(&self.key.to_string()));
        object.number(member_name!("unsigned"), self.unsigned);
        if let Some(torn) = &self.torn {
            object.push(member_name!("torn"));
            let start = object.open();
            object.number(member_name!("bytes"), Some(torn.bytes));
            object.plain(member_name!("sha256"), Some(&torn.sha256));
            object.text(member_name!("file"), Some(&torn.file));
            object.close(start);
        }
        chain.append(into, OPEN, object.written());
    }
}
