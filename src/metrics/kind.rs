use crate::record::{OTHER_PROVIDER, Record};

/// What a request asked for and who provided it, as the labels of OpenTelemetry say it. The names of
/// Prometheus have neither, so that all requests of a route share their series.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Kind {
    /// Empty for a request that is no inference.
    pub(super) operation: &'static str,
    /// Empty for an unknown one.
    pub(super) provider: &'static str,
}

impl Kind {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let provider = record.provider().filter(|provider| *provider != OTHER_PROVIDER);
        Self {
            operation: record.operation().unwrap_or_default(),
            provider: provider.unwrap_or_default(),
        }
    }
}

/// The operations that a metric of the latest conventions is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operations {
    All,
    /// Those that the conventions call inference.
    Inference,
    Embeddings,
    Others,
}

impl Operations {
    pub(super) fn include(self, operation: &str) -> bool {
        let own = match operation {
            "chat" | "generate_content" | "text_completion" => Self::Inference,
            "embeddings" => Self::Embeddings,
            _ => Self::Others,
        };
        self == Self::All || self == own
    }
}
