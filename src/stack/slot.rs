//! The states of a slot.

use tower_layer::{Identity as Unset, Layer};

use crate::skip::Skip;

/// A layer that may be absent at run time. Without a layer the service only forwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Optional<L>(pub(super) Option<L>);

impl<L, S> Layer<S> for Optional<L>
where
    L: Skip<S>,
{
    type Service = L::Service;

    fn layer(&self, inner: S) -> L::Service {
        match &self.0 {
            Some(layer) => layer.layer(inner),
            None => L::skip(inner),
        }
    }
}

/// A slot without a layer.
#[diagnostic::on_unimplemented(
    message = "this layer is set twice in the `Stack`",
    label = "its slot has a layer already: {Self}",
    note = "set each layer once; limits, edits and routes can be added to the one layer"
)]
pub trait Vacant: sealed::Sealed {}

impl Vacant for Unset {}

/// A slot for layers of the user without a layer.
#[diagnostic::on_unimplemented(
    message = "this slot for layers of your own is set twice in the `Stack`",
    label = "the slot has a layer already: {Self}",
    note = "give all layers in one tuple, the outermost first: `.before_cache((first, second))`, \
            `.around((first, second))`"
)]
pub trait VacantOwn: sealed::Sealed {}

impl VacantOwn for Unset {}

pub(super) mod sealed {
    use super::{Optional, Unset};

    #[expect(unnameable_types, reason = "nobody else's type can be in the slots that use it")]
    pub trait Sealed {}

    impl Sealed for Unset {}
    impl<L> Sealed for Optional<L> {}
    #[cfg(feature = "upstream")]
    impl Sealed for crate::upstream::UpstreamLayer {}
    impl Sealed for crate::payload::PayloadLayer {}
}
