//! The API that each kind of upstream serves.

use super::{BodyForm, name, route};

/// The API that an upstream serves.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Server {
    /// Any server of inference. It may have every route of the others.
    Any,
    Anthropic,
    Azure,
    LlamaCpp,
    Mistral,
    OpenAi,
    Router,
    Space,
    Tei,
    Tgi,
    Vllm,
}

impl Server {
    /// Returns the form of the bodies of a path.
    pub(super) fn form(self, path: &str) -> BodyForm {
        match self {
            // The name of a function may end like a route of inference.
            Self::Space if gradio_words(path).is_some() => BodyForm::Unknown,
            _ => route::form(path),
        }
    }

    /// Returns whether a path calls a function of a Space.
    pub(super) fn is_function(self, path: &str) -> bool {
        self == Self::Space && gradio_words(path) == Some(1)
    }
}

/// Returns the number of words after `/call` in a path of Gradio's API: the name of a function, and
/// that of an event.
pub(super) fn gradio_words(path: &str) -> Option<usize> {
    let words = path.strip_prefix("/gradio_api").unwrap_or(path).strip_prefix("/call/")?;
    let count = words.split('/').count();
    (count <= 2 && words.split('/').all(name::is_word)).then_some(count)
}
