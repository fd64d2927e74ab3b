//! The payload layer that other layers bring along.

use tower_layer::{Identity as Unset, Layer};

use super::slot::sealed::Sealed;
use crate::payload::{BufferPayload, PayloadLayer};

/// The slot of the payload as layers that read bodies find it.
pub trait PayloadSlot: Sealed {
    /// The slot afterwards.
    type Filled;

    #[doc(hidden)]
    fn filled(self, is_read: bool) -> Self::Filled;
}

/// A slot of the payload that a [`PayloadLayer`] may still be put into.
#[diagnostic::on_unimplemented(
    message = "the `PayloadLayer` is set twice in the `Stack`",
    label = "the stack has a `PayloadLayer` already",
    note = "set each layer once"
)]
pub trait OpenPayload: PayloadSlot {}

/// A [`PayloadLayer`] with its defaults. It reads no body while all layers that read bodies are
/// absent. [`Stack::payload`](super::Stack::payload) replaces it.
#[derive(Clone, Debug)]
pub struct ImpliedPayload {
    pub(super) layer: PayloadLayer,
    pub(super) is_read: bool,
}

impl ImpliedPayload {
    fn new(is_read: bool) -> Self {
        let layer = if is_read { PayloadLayer::new() } else { PayloadLayer::off() };
        Self { layer, is_read }
    }
}

impl PayloadSlot for Unset {
    type Filled = ImpliedPayload;

    fn filled(self, is_read: bool) -> ImpliedPayload {
        ImpliedPayload::new(is_read)
    }
}

impl PayloadSlot for ImpliedPayload {
    type Filled = Self;

    fn filled(self, is_read: bool) -> Self {
        if is_read && !self.is_read { Self::new(true) } else { self }
    }
}

impl PayloadSlot for PayloadLayer {
    type Filled = Self;

    fn filled(self, _is_read: bool) -> Self {
        self
    }
}

impl OpenPayload for Unset {}
impl OpenPayload for ImpliedPayload {}
impl Sealed for ImpliedPayload {}

impl<S> Layer<S> for ImpliedPayload {
    type Service = BufferPayload<S>;

    fn layer(&self, inner: S) -> BufferPayload<S> {
        self.layer.layer(inner)
    }
}
