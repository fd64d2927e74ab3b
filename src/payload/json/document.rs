use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    bounds::DocumentBounds,
    fault::{JsonError, JsonFault},
    node::Node,
    parse::{
        arena::Arena,
        memory::{Memory, Unlimited},
        progress::Progress,
        slot::Slot,
    },
};

/// A JSON document: its bytes, and where in them each value stands.
///
/// Read strictly by RFC 8259: UTF-8 without a byte-order mark, no second member of a name, no half
/// of a surrogate pair, nothing after the document, bounded in depth and count. Names and numbers
/// stay as they were written.
///
/// ```
/// use tower_inference::payload::{Document, JsonFault};
///
/// let document = Document::parse(r#"{"model": "m", "temperature": 0.70, "stop": ["\u2603"]}"#)?;
/// let root = document.root();
/// assert_eq!(root.get("model").unwrap().as_str().unwrap(), "m");
/// assert_eq!(root.get("temperature").unwrap().number(), Some("0.70"));
/// assert_eq!(root.pointer("/stop/0").unwrap().as_str().unwrap(), "\u{2603}");
/// assert_eq!(document.to_value()?["temperature"], 0.7);
///
/// let twice = Document::parse(r#"{"model": "m", "mod\u0065l": "n"}"#).unwrap_err();
/// assert_eq!((twice.fault, twice.position), (JsonFault::DuplicateName, 15));
/// # Ok::<(), tower_inference::payload::JsonError>(())
/// ```
#[derive(Clone)]
pub struct Document {
    pub(crate) arena: Arena,
    bounds: DocumentBounds,
}

impl Document {
    /// Reads a document within the default [`DocumentBounds`].
    ///
    /// # Errors
    ///
    /// When the bytes are not strict JSON.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, JsonError> {
        Self::parse_within(bytes, DocumentBounds::new())
    }

    /// Reads a document within `bounds`.
    ///
    /// # Errors
    ///
    /// When the bytes are not strict JSON, or beyond the bounds.
    pub fn parse_within(
        bytes: impl Into<Bytes>,
        bounds: DocumentBounds,
    ) -> Result<Self, JsonError> {
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

    /// The document as it was written.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.arena.text.as_bytes()
    }

    /// How many nodes it has: values, and names of members.
    #[must_use]
    pub const fn value_count(&self) -> usize {
        self.arena.slots.len()
    }

    /// How many arrays and objects stand in one another, where they are most. Zero for a scalar.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.arena.depth as usize
    }

    pub(crate) const fn bounds(&self) -> DocumentBounds {
        self.bounds
    }

    pub(crate) fn text(&self) -> &str {
        &self.arena.text
    }

    pub(crate) fn slot(&self, index: u32) -> &Slot {
        self.arena.slot(index)
    }

    /// The node that gave its index.
    pub(crate) fn node(&self, index: u32) -> Node<'_> {
        Node::new(&self.arena, index)
    }
}

/// A document that is read in turns, between which others have theirs.
pub(crate) struct Parsing<R> {
    text: ByteString,
    bounds: DocumentBounds,
    progress: Progress,
    memory: R,
}

impl<R: Memory> Parsing<R> {
    /// Begins to read a document.
    pub(crate) fn new(
        bytes: Bytes,
        bounds: DocumentBounds,
        mut memory: R,
    ) -> Result<Self, R::Error> {
        let text = ByteString::try_from(bytes)
            .map_err(|error| JsonError::new(JsonFault::NotUtf8, error.valid_up_to()))?;
        let progress = Progress::new(&text, bounds, &mut memory)?;
        Ok(Self { text, bounds, progress, memory })
    }

    /// Reads on for at least `turn` bytes, and returns the document at its end, with the room that
    /// it takes.
    pub(crate) fn read(&mut self, turn: usize) -> Result<Option<(Document, R)>, R::Error>
    where
        R: Default,
    {
        let arena = self.progress.read(&self.text, turn, &mut self.memory)?;
        Ok(arena.map(|arena| {
            let document = Document { arena, bounds: self.bounds };
            (document, std::mem::take(&mut self.memory))
        }))
    }
}

impl fmt::Debug for Document {
    // Without its content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.arena.text.len())
            .field("nodes", &self.value_count())
            .field("depth", &self.depth())
            .finish()
    }
}
