use super::{memory::ParseMemory, name_index::NameIndex, names::NameMarks, slot::ValueSlot};
use crate::payload::json::{
    bounds::DocumentBounds,
    fault::{JsonError, JsonFault},
};

/// The state of a document between two steps of parsing.
pub(crate) struct ParseProgress {
    pub(crate) bounds: DocumentBounds,
    pub(crate) at: usize,
    pub(crate) slots: Vec<ValueSlot>,
    pub(crate) index: Option<Box<NameIndex>>,
    // The innermost open array or object: its kind, its slot and its number of elements so far.
    pub(crate) container: Container,
    pub(crate) open: u32,
    pub(crate) count: u32,
    pub(crate) depth: u32,
    pub(crate) deepest: u32,
    // Of the names in the open objects.
    pub(crate) names: NameMarks,
}

impl ParseProgress {
    /// Starts to parse a text.
    pub(crate) fn new<R: ParseMemory>(
        text: &str,
        bounds: DocumentBounds,
        memory: &mut R,
    ) -> Result<Self, R::Error> {
        if text.starts_with('\u{feff}') {
            return Err(JsonError::new(JsonFault::ByteOrderMark, 0).into());
        }
        // Positions have 32 bits.
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError::new(JsonFault::TooLong, u32::MAX as usize).into());
        }
        let capacity = estimate(text.len()).min(bounds.values as usize);
        memory.take(capacity * size_of::<ValueSlot>())?;
        Ok(Self {
            bounds,
            at: 0,
            slots: Vec::with_capacity(capacity),
            index: None,
            container: Container::Nothing,
            open: NONE,
            count: 0,
            depth: 0,
            deepest: 0,
            names: NameMarks::default(),
        })
    }
}

/// Estimates the slots of a document of `length` bytes. Chat requests need one slot for 6 to 100
/// bytes, so the estimate usually suffices. A long document of short values grows by doubling.
fn estimate(length: usize) -> usize {
    (length / 6 + 2).min(1024 + length / 64)
}

/// No array or object is open.
const NONE: u32 = u32::MAX;

/// The kind of the innermost open array or object.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Container {
    Nothing,
    Array,
    Object,
}
