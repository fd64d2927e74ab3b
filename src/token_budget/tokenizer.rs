use std::{fmt, sync::Arc};

/// A user's function that counts the tokens of a text.
#[derive(Clone)]
pub(super) struct Tokenizer(Arc<dyn Fn(&str) -> u64 + Send + Sync>);

impl Tokenizer {
    pub(super) fn new(count: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }

    pub(super) fn count(&self, text: &str) -> u64 {
        (self.0)(text)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokenizer(..)")
    }
}
