/// The names and labels under which metrics are registered.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Names {
    /// `tower_inference_…` with base units and the suffixes of Prometheus.
    #[default]
    Prometheus,
    /// The GenAI conventions of OpenTelemetry 1.41, and `tower_inference.…` for metrics that they do
    /// not know.
    OpenTelemetry1_41,
    /// The latest GenAI conventions of OpenTelemetry that this crate knows, those of 1.42, and
    /// `tower_inference.…` for metrics that they do not know.
    OpenTelemetryLatest,
}

impl Names {
    /// Every set of names, for tables and tests.
    pub const ALL: &'static [Self] =
        &[Self::Prometheus, Self::OpenTelemetry1_41, Self::OpenTelemetryLatest];

    pub(super) const fn is_prometheus(self) -> bool {
        matches!(self, Self::Prometheus)
    }
}
