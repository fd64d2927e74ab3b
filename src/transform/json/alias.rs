use std::{collections::BTreeMap, fmt};

use crate::{
    generation::violation,
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Names of models that callers use, and what the upstream calls them.
///
/// Names are compared exactly, a `:provider` suffix being part of them. What is not in the table
/// passes as it is, unless [others are refused](Self::refuse_others).
#[derive(Clone, Eq, PartialEq)]
pub struct ModelAliases {
    model: Pointer,
    names: BTreeMap<Box<str>, Literal>,
    refuses_others: bool,
}

impl ModelAliases {
    /// A table of (what the caller asks for, what the upstream gets). Of two rows for one name, the
    /// later stands.
    pub fn new<A, M>(aliases: impl IntoIterator<Item = (A, M)>) -> Self
    where
        A: Into<Box<str>>,
        M: Into<String>,
    {
        let row = |(alias, model): (A, M)| (alias.into(), Literal::from(model.into()));
        Self {
            model: Pointer::new(["model"]),
            names: aliases.into_iter().map(row).collect(),
            refuses_others: false,
        }
    }

    /// Refuses a request whose `model` is not in the table, or is missing.
    #[must_use]
    pub const fn refuse_others(mut self) -> Self {
        self.refuses_others = true;
        self
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        let refused = |keyword, detail| Err(violation(&self.model, keyword, detail));
        let asked = match edits.get(&self.model).map_err(EditError::rejection)? {
            Some(model) => model.as_str(),
            None if self.refuses_others => return refused("required", "must name a model"),
            None => return Ok(()),
        };
        let Some(asked) = asked else { return refused("type", "must be a string") };
        match self.names.get(&*asked) {
            Some(model) => edits.set(&self.model, model).map_err(EditError::rejection),
            None if self.refuses_others => refused("enum", "must be a model that is served here"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ModelAliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelAliases")
            .field("names", &self.names.keys())
            .field("refuses_others", &self.refuses_others)
            .finish()
    }
}
