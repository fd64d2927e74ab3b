/// The yes-or-no facts of a document.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct DocumentFlags(u32);

impl DocumentFlags {
    /// The root has an `error` with a value.
    pub(super) const ROOT_ERROR: Self = Self(1);
    /// A part of the response has an `error` with a value.
    pub(super) const PART_ERROR: Self = Self(1 << 1);
    /// Any other sign of a failure. Later members do not revoke it.
    pub(super) const FAILED: Self = Self(1 << 2);
    /// The document has a `generated_text`.
    pub(crate) const GENERATED_TEXT: Self = Self(1 << 3);
    /// The document has its own end mark: `done` of Ollama or `stop` of llama.cpp.
    pub(crate) const DONE: Self = Self(1 << 4);
    /// The document says that it has not ended.
    pub(super) const UNFINISHED: Self = Self(1 << 5);
    /// The root is an empty object, an empty string or `null`.
    pub(super) const EMPTY: Self = Self(1 << 6);
    /// The `status` is `incomplete`.
    pub(super) const INCOMPLETE: Self = Self(1 << 7);
    /// The root has a member that no error has.
    pub(super) const MORE_THAN_ERROR: Self = Self(1 << 8);
    /// The root explains an error in words.
    pub(super) const EXPLANATION: Self = Self(1 << 9);
    /// The `type` of the root is not that of an error.
    pub(super) const OTHER_TYPE: Self = Self(1 << 10);
    /// The root has the code of an error.
    pub(super) const ERROR_CODE: Self = Self(1 << 11);
    /// The root has members.
    pub(super) const MEMBERS: Self = Self(1 << 12);
    /// The document has several roots.
    pub(super) const SEVERAL_ROOTS: Self = Self(1 << 13);
    /// The document is an event of a known form.
    pub(crate) const KNOWN_EVENT: Self = Self(1 << 14);
    /// The document is an event that adds text to the response.
    pub(super) const DELTA: Self = Self(1 << 15);

    /// The document is an object or an array.
    pub(super) const STRUCTURE: Self = Self(1 << 16);
    /// A member of the root or its type belongs to the events of a known server.
    pub(super) const RECOGNISED: Self = Self(1 << 17);
    /// The item that is being read is a message.
    pub(super) const ITEM_IS_MESSAGE: Self = Self(1 << 18);
    /// The item that is being read has failed.
    pub(super) const ITEM_FAILED: Self = Self(1 << 19);
    /// The item that is being read was cut.
    pub(super) const ITEM_CUT: Self = Self(1 << 20);
    /// A message in the output was cut.
    pub(super) const MESSAGE_CUT: Self = Self(1 << 21);
    /// The root has a token of TGI.
    pub(crate) const TOKEN: Self = Self(1 << 22);
    /// The root has text.
    pub(super) const ROOT_TEXT: Self = Self(1 << 23);
    /// The root has a `type`.
    pub(super) const TYPED: Self = Self(1 << 24);

    /// The flags that each root sets for itself.
    pub(super) const OF_ROOT: Self = Self::any(&[
        Self::MORE_THAN_ERROR,
        Self::EXPLANATION,
        Self::OTHER_TYPE,
        Self::ERROR_CODE,
        Self::MEMBERS,
        Self::ROOT_ERROR,
        Self::PART_ERROR,
        Self::GENERATED_TEXT,
    ]);
    /// The flags that each item sets for itself.
    pub(super) const OF_ITEM: Self =
        Self::any(&[Self::ITEM_IS_MESSAGE, Self::ITEM_FAILED, Self::ITEM_CUT]);
    /// The flags of a failure.
    pub(super) const ANY_ERROR: Self =
        Self::any(&[Self::ROOT_ERROR, Self::PART_ERROR, Self::FAILED]);
    /// The flags of a document that is no complete response.
    pub(super) const NO_RESPONSE: Self = Self::any(&[Self::UNFINISHED, Self::EMPTY]);

    /// The flags of a member of the root that has output in the events of a known server.
    pub(super) const DELTA_MEMBER: Self = Self::any(&[Self::EVENT_MEMBER, Self::DELTA]);
    /// The flags of a member that the events of a known server have.
    pub(super) const EVENT_MEMBER: Self = Self::any(&[Self::SERVER_MEMBER, Self::KNOWN_EVENT]);
    /// The flags of the member `error`.
    pub(super) const ERROR_EVENT: Self =
        Self::any(&[Self::MEMBERS, Self::RECOGNISED, Self::KNOWN_EVENT]);
    /// The flags of a `type`, which an error may have, and of other names for it.
    pub(super) const TYPE_MEMBER: Self =
        Self::any(&[Self::MEMBERS, Self::KNOWN_EVENT, Self::TYPED]);
    pub(super) const OTHER_TYPE_MEMBER: Self =
        Self::any(&[Self::MEMBERS, Self::KNOWN_EVENT, Self::MORE_THAN_ERROR]);
    /// The flags of another member of the documents of a known server.
    pub(super) const SERVER_MEMBER: Self = Self::any(&[Self::OTHER_MEMBER, Self::RECOGNISED]);
    /// The flags of any other member that no error has.
    pub(super) const OTHER_MEMBER: Self = Self::any(&[Self::MEMBERS, Self::MORE_THAN_ERROR]);

    pub(super) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Returns whether any flag of `other` is set.
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn any(mut flags: &[Self]) -> Self {
        let mut union = 0;
        while let [flag, rest @ ..] = flags {
            union |= flag.0;
            flags = rest;
        }
        Self(union)
    }
}
