use std::fmt;

use serde_json::json;

use crate::{
    payload::{EditError, Edits, Literal, Node, Pointer},
    rejection::Rejection,
};

/// A message that a [`TransformLayer`](crate::transform::TransformLayer) puts before those of the
/// caller, who cannot remove it.
///
/// By default the caller's own system messages follow it.
#[derive(Clone, Eq, PartialEq)]
pub struct SystemMessage {
    content: Box<str>,
    role: &'static str,
    others: Others,
}

/// What becomes of the caller's own system messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Others {
    Follow,
    Go,
    Win,
}

impl SystemMessage {
    /// A message of the role `system`.
    pub fn new(content: impl Into<Box<str>>) -> Self {
        Self { content: content.into(), role: "system", others: Others::Follow }
    }

    /// Gives it the role `developer`, as OpenAI's newer models call it.
    #[must_use]
    pub const fn developer(mut self) -> Self {
        self.role = "developer";
        self
    }

    /// Removes the caller's own messages of the roles `system` and `developer`, wherever they
    /// stand and however the role's case is.
    #[must_use]
    pub const fn instead_of_others(mut self) -> Self {
        self.others = Others::Go;
        self
    }

    /// Leaves the messages alone where the caller has one of the role `system` or `developer`.
    #[must_use]
    pub const fn unless_others(mut self) -> Self {
        self.others = Others::Win;
        self
    }
}

impl fmt::Debug for SystemMessage {
    // Without the content, which is a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemMessage")
            .field("bytes", &self.content.len())
            .field("role", &self.role)
            .field("others", &self.others)
            .finish()
    }
}

/// A message as it is written.
#[derive(Clone, Debug)]
pub(in crate::transform) struct Injection {
    messages: Pointer,
    message: Literal,
    others: Others,
}

impl Injection {
    pub(super) fn new(message: SystemMessage) -> Self {
        let SystemMessage { content, role, others } = message;
        let message = Literal::from(json!({ "role": role, "content": content }));
        Self { messages: Pointer::new(["messages"]), message, others }
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        match self.others {
            Others::Follow => Ok(()),
            Others::Go => edits.retain(&self.messages, |message| !is_system(message)),
            Others::Win => match edits.get(&self.messages) {
                Ok(Some(messages)) if messages.elements().any(is_system) => return Ok(()),
                messages => messages.map(drop),
            },
        }
        .and_then(|()| edits.insert_first(&self.messages, &self.message))
        .map_err(EditError::rejection)
    }
}

/// Whether a message would be taken for one of the system, by a reader that folds case too.
fn is_system(message: Node<'_>) -> bool {
    message.members().any(|(name, value)| {
        let is = |role: &str| {
            role.eq_ignore_ascii_case("system") || role.eq_ignore_ascii_case("developer")
        };
        name.eq_ignore_ascii_case("role") && value.as_str().is_some_and(|role| is(&role))
    })
}
