use std::{collections::BTreeMap, fmt};

use crate::{
    generation::violation,
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// A table from the model names of clients to those of the upstream.
///
/// Names are compared exactly, including a `:provider` suffix. A name that is not in the table passes
/// unchanged unless the table [rejects others](Self::reject_others).
#[derive(Clone, Eq, PartialEq)]
pub struct ModelAliases {
    model: Pointer,
    names: BTreeMap<Box<str>, Literal>,
    rejects_others: bool,
}

impl ModelAliases {
    /// Creates a table of pairs (client's name, upstream's name). The last pair for a name applies.
    pub fn new<A, M>(aliases: impl IntoIterator<Item = (A, M)>) -> Self
    where
        A: Into<Box<str>>,
        M: Into<String>,
    {
        let row = |(alias, model): (A, M)| (alias.into(), Literal::from(model.into()));
        Self {
            model: Pointer::new(["model"]),
            names: aliases.into_iter().map(row).collect(),
            rejects_others: false,
        }
    }

    /// Rejects a request whose `model` is missing or not in the table.
    #[must_use]
    pub const fn reject_others(mut self) -> Self {
        self.rejects_others = true;
        self
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        let rejected = |keyword, detail| Err(violation(&self.model, keyword, detail));
        let requested = match edits.get(&self.model).map_err(EditError::rejection)? {
            Some(model) => model.as_str(),
            None if self.rejects_others => return rejected("required", "must name a model"),
            None => return Ok(()),
        };
        let Some(requested) = requested else { return rejected("type", "must be a string") };
        match self.names.get(&*requested) {
            Some(model) => edits.set(&self.model, model).map_err(EditError::rejection),
            None if self.rejects_others => rejected("enum", "must be a model of this gateway"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ModelAliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelAliases")
            .field("names", &self.names.keys())
            .field("rejects_others", &self.rejects_others)
            .finish()
    }
}
