use std::fmt;

use serde_json::json;

use crate::{
    payload::{EditError, Edits, Literal, Node, Pointer},
    rejection::Rejection,
};

/// A message that [`TransformLayer`](crate::transform::TransformLayer) adds before the client's
/// messages. The client cannot remove it.
///
/// By default the client's own system messages follow it.
#[derive(Clone, Eq, PartialEq)]
pub struct SystemMessage {
    content: Box<str>,
    role: &'static str,
    others: OthersPolicy,
}

/// The treatment of the client's own system messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OthersPolicy {
    Follow,
    Remove,
    Prefer,
}

impl SystemMessage {
    /// Creates a message of the role `system`.
    pub fn new(content: impl Into<Box<str>>) -> Self {
        Self { content: content.into(), role: "system", others: OthersPolicy::Follow }
    }

    /// Sets the role to `developer`, the name for newer models of OpenAI.
    #[must_use]
    pub const fn developer(mut self) -> Self {
        self.role = "developer";
        self
    }

    /// Removes the client's messages of the roles `system` and `developer` in any case and at any
    /// position.
    #[must_use]
    pub const fn instead_of_others(mut self) -> Self {
        self.others = OthersPolicy::Remove;
        self
    }

    /// Adds nothing when the client has a message of the role `system` or `developer`.
    #[must_use]
    pub const fn unless_others(mut self) -> Self {
        self.others = OthersPolicy::Prefer;
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

/// A system message as the layer writes it.
#[derive(Clone, Debug)]
pub(crate) struct SystemMessageEdit {
    messages: Pointer,
    message: Literal,
    others: OthersPolicy,
}

impl SystemMessageEdit {
    pub(crate) fn new(message: SystemMessage) -> Self {
        let SystemMessage { content, role, others } = message;
        let message = Literal::from(json!({ "role": role, "content": content }));
        Self { messages: Pointer::new(["messages"]), message, others }
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        match self.others {
            OthersPolicy::Follow => Ok(()),
            OthersPolicy::Remove => edits.retain(&self.messages, |message| !is_system(message)),
            OthersPolicy::Prefer => match edits.get(&self.messages) {
                Ok(Some(messages)) if messages.elements().any(is_system) => return Ok(()),
                messages => messages.map(drop),
            },
        }
        .and_then(|()| edits.insert_first(&self.messages, &self.message))
        .map_err(EditError::rejection)
    }
}

/// Returns whether a reader that ignores case may take a message for a system message.
fn is_system(message: Node<'_>) -> bool {
    message.members().any(|(name, value)| {
        let is = |role: &str| {
            role.eq_ignore_ascii_case("system") || role.eq_ignore_ascii_case("developer")
        };
        name.eq_ignore_ascii_case("role") && value.as_str().is_some_and(|role| is(&role))
    })
}
