use std::{fmt, sync::Arc};

use http::{Extensions, HeaderMap};

/// The peers whose ids are kept.
#[derive(Clone, Default)]
pub(super) struct Trust(Option<Arc<IsTrusted>>);

type IsTrusted = dyn Fn(&Extensions, &HeaderMap) -> bool + Send + Sync;

impl Trust {
    pub(super) fn of(
        is_trusted: impl Fn(&Extensions, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(is_trusted)))
    }

    pub(super) fn has(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        self.0.as_ref().is_some_and(|is_trusted| is_trusted(extensions, headers))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trust(..)" } else { "Trust(nobody)" })
    }
}
