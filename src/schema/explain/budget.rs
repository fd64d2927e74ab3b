//! DocumentBounds on what it costs to say where a document breaks its schema.

use std::cell::Cell;

use crate::payload::Document;

/// What may still be spent on one answer.
///
/// A `Cell`, because the validator sees shared views only.
#[derive(Debug)]
pub(crate) struct ExplainBudget {
    steps: Cell<usize>,
    room: Cell<usize>,
    pub(crate) made: Cell<usize>,
    shortened: Cell<bool>,
    /// How deep details are gathered.
    pub(crate) levels: usize,
    /// How many schemas stand in one another at one value, at most.
    schemas: usize,
}

impl ExplainBudget {
    // Four to eight anyOf that look at the whole document, one in the other, are walked to the end.
    const STEPS: usize = 65_536;
    const STEPS_PER_NODE: usize = 8;
    const BYTES_PER_STEP: usize = 64;

    // What a detail takes besides its pointer and its way through the schema: 2,048 of them at most.
    const DETAIL: usize = 512;
    /// A token of the way through the schema, such as `/anyOf` or `/3`.
    const TOKEN: usize = 16;
    const ROOM: usize = 1_048_576;

    /// How many details one pass over an array or object makes before it ends. Elements that break
    /// an `anyOf` make a dozen each, of which one is shown.
    const ENOUGH: usize = 128;

    pub(crate) fn new(document: &Document, levels: usize, schemas: usize) -> Self {
        let nodes = document.value_count().saturating_mul(Self::STEPS_PER_NODE);
        let bytes = document.bytes().len() / Self::BYTES_PER_STEP;
        Self {
            steps: Cell::new(Self::STEPS.saturating_add(nodes).saturating_add(bytes)),
            room: Cell::new(Self::ROOM),
            made: Cell::new(0),
            shortened: Cell::new(false),
            levels,
            schemas,
        }
    }

    pub(crate) const fn spent() -> Self {
        Self {
            steps: Cell::new(0),
            room: Cell::new(0),
            made: Cell::new(0),
            shortened: Cell::new(true),
            levels: 0,
            schemas: 0,
        }
    }

    /// Whether something was left out.
    pub(crate) const fn is_shortened(&self) -> bool {
        self.shortened.get() || self.is_spent()
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.steps.get() == 0 || self.room.get() == 0
    }

    pub(crate) fn spend_all(&self) {
        self.steps.set(0);
    }

    pub(crate) fn step(&self, bytes: usize) {
        let cost = 1 + bytes / Self::BYTES_PER_STEP;
        self.steps.set(self.steps.get().saturating_sub(cost));
    }

    /// Notes a detail. `false` when nothing more is to be noted: what the validator finds from
    /// then on may come from having seen a part only.
    pub(crate) fn note(&self, position: Position) -> bool {
        let whole = !self.is_spent();
        let way = self.schemas.saturating_mul(position.depth.saturating_add(1));
        let cost = way.saturating_mul(Self::TOKEN).saturating_add(position.path + Self::DETAIL);
        self.room.set(self.room.get().saturating_sub(cost));
        self.made.set(self.made.get().saturating_add(1));
        whole
    }

    /// Whether a pass that began when `before` details were made has made enough. That alone
    /// never turns a verdict: only passes that gather make details, not those that judge.
    pub(crate) fn has_enough(&self, before: usize) -> bool {
        let enough = self.is_spent() || self.made.get().saturating_sub(before) >= Self::ENOUGH;
        if enough {
            self.shortened.set(true);
        }
        enough
    }
}

/// How far in a value is.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub(crate) depth: usize,
    /// How long the pointer to it is, in bytes.
    pub(crate) path: usize,
}

impl Position {
    /// Of what is below, behind a token of so many bytes.
    pub(crate) const fn below(self, token: usize) -> Self {
        Self { depth: self.depth.saturating_add(1), path: self.path.saturating_add(token + 1) }
    }
}
