//! Limits the cost of collecting violations.

use std::cell::Cell;

use crate::payload::Document;

/// The remaining budget for one response.
///
/// It uses `Cell` because the validator only has shared references to views.
#[derive(Debug)]
pub(crate) struct ExplainBudget {
    steps: Cell<usize>,
    room: Cell<usize>,
    pub(crate) made: Cell<usize>,
    shortened: Cell<bool>,
    /// The maximum depth at which violations are collected.
    pub(crate) levels: usize,
    /// The maximum number of nested schemas at one value.
    schemas: usize,
}

impl ExplainBudget {
    // Enough for four to eight nested `anyOf` that each check the whole document.
    const STEPS: usize = 65_536;
    const STEPS_PER_NODE: usize = 8;
    const BYTES_PER_STEP: usize = 64;

    // The size of an error without its pointer and its path in the schema. At most 2,048 errors
    // fit.
    const DETAIL: usize = 512;
    /// A step of the path in the schema, such as `/anyOf` or `/3`.
    const TOKEN: usize = 16;
    const ROOM: usize = 1_048_576;

    /// The maximum number of errors in one iteration over an array or object. An element that
    /// violates an `anyOf` causes about a dozen, of which one is shown.
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

    /// Counts an error. Returns false if the budget is spent. Later errors may result from the
    /// shortened view.
    pub(crate) fn note(&self, position: Position) -> bool {
        let whole = !self.is_spent();
        let way = self.schemas.saturating_mul(position.depth.saturating_add(1));
        let cost = way.saturating_mul(Self::TOKEN).saturating_add(position.path + Self::DETAIL);
        self.room.set(self.room.get().saturating_sub(cost));
        self.made.set(self.made.get().saturating_add(1));
        whole
    }

    /// Whether an iteration that started at `before` errors has caused enough. This cannot change
    /// the validity, because only iterations that collect cause errors.
    pub(crate) fn has_enough(&self, before: usize) -> bool {
        let enough = self.is_spent() || self.made.get().saturating_sub(before) >= Self::ENOUGH;
        if enough {
            self.shortened.set(true);
        }
        enough
    }
}

/// The position of a value.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub(crate) depth: usize,
    /// The length of its pointer in bytes.
    pub(crate) path: usize,
}

impl Position {
    /// Returns the position behind a token of this many bytes.
    pub(crate) const fn below(self, token: usize) -> Self {
        Self { depth: self.depth.saturating_add(1), path: self.path.saturating_add(token + 1) }
    }
}
