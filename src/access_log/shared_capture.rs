use std::{fmt, sync::Arc};

use bytes::Buf;

use crate::{lock::Lock, record::Capture};

/// The capture of a request body, which the body fills and the record takes. A body that flows longer
/// than its response has none.
#[derive(Clone)]
pub(super) struct SharedCapture(Arc<Lock<Option<Capture>>>);

impl SharedCapture {
    pub(super) fn new(capture: Capture) -> Self {
        Self(Arc::new(Lock::new(Some(capture))))
    }

    pub(super) fn chunks(&self, data: &impl Buf) {
        if let Some(capture) = &mut *self.0.lock() {
            capture.chunks(data);
        }
    }

    pub(super) fn take(&self) -> Option<Capture> {
        self.0.lock().take()
    }
}

impl fmt::Debug for SharedCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCapture").finish_non_exhaustive()
    }
}
