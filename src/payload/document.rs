use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::Value;

use super::{
    Edits, Malformed, Node, Reason,
    arena::{Slot, Tag},
    names::FEW,
    parse::{Arena, Progress, Room, Unlimited},
    pointer::{Likeness, Token, marks},
    text::{contents, unescape},
};

/// A JSON document: its bytes, and where in them each value stands.
///
/// Read strictly by RFC 8259: UTF-8 without a byte-order mark, no second member of a name, no half
/// of a surrogate pair, nothing after the document, bounded in depth and count. Names and numbers
/// stay as they were written.
///
/// ```
/// use tower_inference::payload::{Document, Reason};
///
/// let document = Document::parse(r#"{"model": "m", "temperature": 0.70, "stop": ["\u2603"]}"#)?;
/// let root = document.root();
/// assert_eq!(root.get("model").unwrap().as_str().unwrap(), "m");
/// assert_eq!(root.get("temperature").unwrap().number(), Some("0.70"));
/// assert_eq!(root.pointer("/stop/0").unwrap().as_str().unwrap(), "\u{2603}");
/// assert_eq!(document.to_value()?["temperature"], 0.7);
///
/// let twice = Document::parse(r#"{"model": "m", "mod\u0065l": "n"}"#).unwrap_err();
/// assert_eq!((twice.reason, twice.position), (Reason::DuplicateName, 15));
/// # Ok::<(), tower_inference::payload::Malformed>(())
/// ```
#[derive(Clone)]
pub struct Document {
    pub(super) text: ByteString,
    pub(super) arena: Arena,
    bounds: Bounds,
}

impl Document {
    /// Reads a document within the default [`Bounds`].
    ///
    /// # Errors
    ///
    /// When the bytes are not strict JSON.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, Malformed> {
        Self::parse_within(bytes, Bounds::new())
    }

    /// Reads a document within `bounds`.
    ///
    /// # Errors
    ///
    /// When the bytes are not strict JSON, or beyond the bounds.
    pub fn parse_within(bytes: impl Into<Bytes>, bounds: Bounds) -> Result<Self, Malformed> {
        let mut parsing = Parsing::new(bytes.into(), bounds, Unlimited)?;
        loop {
            if let Some((document, Unlimited)) = parsing.read(usize::MAX)? {
                return Ok(document);
            }
        }
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.node(0)
    }

    /// Starts to edit it.
    #[must_use]
    pub const fn edit(&self) -> Edits<'_> {
        Edits::new(self)
    }

    /// The document as it was written.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// How many nodes it has: values, and names of members.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.arena.slots.len()
    }

    /// How many arrays and objects stand in one another, where they are most. Zero for a scalar.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.arena.depth as usize
    }

    /// The same document for users of `serde_json`. Costs an allocation for each string and
    /// container.
    ///
    /// # Errors
    ///
    /// [`Reason::NumberOutOfRange`] when a number, such as `1e400`, is none of `u64`, `i64` and a
    /// finite `f64`.
    pub fn to_value(&self) -> Result<Value, Malformed> {
        self.root().to_value()
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How the name of a member, which stands in this slot, compares with a token.
    pub(super) fn compare(&self, name: u32, token: &Token) -> Likeness {
        let slot = self.slot(name);
        let written = contents(&self.text, slot);
        if slot.is_escaped() { token.compare(&unescape(written)) } else { token.compare(written) }
    }

    /// The slots of names in the object that may be like a token, for an object whose names are
    /// indexed.
    pub(super) fn alike(
        &self,
        object: u32,
        token: &Token,
    ) -> Option<impl Iterator<Item = u32> + '_> {
        self.arena.alike(object, &token.name)
    }

    /// The [`marks`] of all names in the outermost object; all of them where its names are indexed.
    pub(super) fn marks(&self) -> u64 {
        let root = self.root();
        if root.len() > FEW as usize {
            return u64::MAX;
        }
        let names = root.names_and_values().step_by(2).map(Node::slot);
        let marks = |name: &Slot| {
            if name.is_escaped() { u64::MAX } else { marks(contents(&self.text, name)) }
        };
        names.fold(0, |all, name| all | marks(name))
    }

    pub(super) fn slot(&self, index: u32) -> &Slot {
        // No node is made for a slot that is not there.
        const NULL: &Slot = &Slot::leaf((0, 0), 0, Tag::NULL);
        self.arena.slots.get(index as usize).unwrap_or(NULL)
    }

    /// The node that gave its index.
    pub(crate) fn node(&self, index: u32) -> Node<'_> {
        Node::new(self, self.slot(index), index)
    }
}

/// A document that is read in turns, between which others have theirs.
pub(super) struct Parsing<R> {
    text: ByteString,
    bounds: Bounds,
    progress: Progress,
    room: R,
}

impl<R: Room> Parsing<R> {
    /// Begins to read a document.
    pub(super) fn new(bytes: Bytes, bounds: Bounds, mut room: R) -> Result<Self, R::Error> {
        let text = ByteString::try_from(bytes)
            .map_err(|error| Malformed::new(Reason::NotUtf8, error.valid_up_to()))?;
        let progress = Progress::new(&text, bounds, &mut room)?;
        Ok(Self { text, bounds, progress, room })
    }

    /// Reads on for at least `turn` bytes, and returns the document at its end, with the room that
    /// it takes.
    pub(super) fn read(&mut self, turn: usize) -> Result<Option<(Document, R)>, R::Error>
    where
        R: Default,
    {
        let arena = self.progress.read(&self.text, turn, &mut self.room)?;
        Ok(arena.map(|arena| {
            let document = Document { text: self.text.clone(), arena, bounds: self.bounds };
            (document, std::mem::take(&mut self.room))
        }))
    }
}

impl fmt::Debug for Document {
    // Without its content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.text.len())
            .field("nodes", &self.nodes())
            .field("depth", &self.depth())
            .finish()
    }
}

/// How deep and how rich a document may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    pub(super) depth: u32,
    pub(super) nodes: u32,
}

impl Bounds {
    // What a thread's stack holds when a `serde_json::Value` of this depth is dropped.
    const MAX_DEPTH: u32 = 1_024;

    /// The defaults: a depth of 128, as `serde_json` and most peers have it, and as many nodes as
    /// the bytes hold.
    #[must_use]
    pub const fn new() -> Self {
        Self { depth: 128, nodes: Tag::MAX_LEN }
    }

    /// Sets how many arrays and objects may stand in one another: 128 by default, at most 1,024.
    #[must_use]
    pub const fn depth(mut self, depth: u32) -> Self {
        self.depth = if depth < Self::MAX_DEPTH { depth } else { Self::MAX_DEPTH };
        self
    }

    /// Sets how many nodes a document may have, each value and each name of a member being one.
    /// Defaults to 268,435,455, which is also the most.
    ///
    /// A node takes 16 bytes, whatever it is, and at least two bytes of the body. The bound in bytes
    /// so bounds the nodes too: a body such as `[0,0,0,…` of 10 MiB has 5,242,880 of them, which take
    /// 84 MB, and 127 MB while they grow. A [memory limit](super::PayloadLayer::memory_limit) counts
    /// them for all bodies together. Embeddings of token ids have a million in 5 MB.
    #[must_use]
    pub const fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = if nodes < Tag::MAX_LEN { nodes } else { Tag::MAX_LEN };
        self
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new()
    }
}
