use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    bounds::DocumentBounds,
    fault::{JsonError, JsonFault},
    node::Node,
    parse::{
        arena::Arena,
        memory::{ParseMemory, Unlimited},
        progress::ParseProgress,
        slot::ValueSlot,
    },
};

/// A parsed JSON document. Values are read in place from its bytes.
///
/// Parsing is strict (RFC 8259). The text is UTF-8 without a byte-order mark. Duplicate names, lone
/// surrogates and data after the document are errors. Depth and number of values are bounded. Names
/// and numbers keep their original spelling.
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
    /// Parses a document within the default [`DocumentBounds`].
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not strict JSON or exceed a bound.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, JsonError> {
        Self::parse_within(bytes, DocumentBounds::new())
    }

    /// Parses a document within `bounds`.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not strict JSON or exceed a bound.
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

    /// Returns the outermost value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.node(0)
    }

    /// Returns the bytes of the document.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.arena.text.as_bytes()
    }

    /// Returns the number of values. Each member name counts as one.
    #[must_use]
    pub const fn value_count(&self) -> usize {
        self.arena.slots.len()
    }

    /// Returns the maximum nesting depth of arrays and objects. A scalar has depth 0.
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

    pub(crate) fn slot(&self, index: u32) -> &ValueSlot {
        self.arena.slot(index)
    }

    /// Returns the node with this index.
    pub(crate) fn node(&self, index: u32) -> Node<'_> {
        Node::new(&self.arena, index)
    }
}

/// A document that is parsed in steps between which other tasks run.
pub(crate) struct Parsing<R> {
    text: ByteString,
    bounds: DocumentBounds,
    progress: ParseProgress,
    memory: R,
}

impl<R: ParseMemory> Parsing<R> {
    /// Starts to parse a document.
    pub(crate) fn new(
        bytes: Bytes,
        bounds: DocumentBounds,
        mut memory: R,
    ) -> Result<Self, R::Error> {
        let text = ByteString::try_from(bytes)
            .map_err(|error| JsonError::new(JsonFault::NotUtf8, error.valid_up_to()))?;
        let progress = ParseProgress::new(&text, bounds, &mut memory)?;
        Ok(Self { text, bounds, progress, memory })
    }

    /// Parses at least `turn` bytes. Returns the document and its memory at the end.
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
    // Omits the content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.arena.text.len())
            .field("nodes", &self.value_count())
            .field("depth", &self.depth())
            .finish()
    }
}
