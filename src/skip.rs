//! The disabled state of a layer's service, for slots of a stack that are empty at run time.

use tower_layer::Layer;

/// A layer whose service has a disabled state.
///
/// A disabled service forwards requests and responses unchanged. It makes no context. Only that of
/// `StalledReaderLayer` allocates.
pub trait Skip<S>: Layer<S> {
    /// Returns the disabled service around `inner`. Its type is that of the enabled service.
    fn skip(inner: S) -> Self::Service;
}
