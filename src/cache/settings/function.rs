use std::{fmt, ops::Deref, sync::Arc};

/// A function that the user has set. Clones share it.
pub(crate) struct Function<F: ?Sized>(Arc<F>);

impl<F: ?Sized> Function<F> {
    pub(crate) const fn new(function: Arc<F>) -> Self {
        Self(function)
    }
}

impl<F: ?Sized> Clone for Function<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: ?Sized> Deref for Function<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: ?Sized> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function(..)")
    }
}
