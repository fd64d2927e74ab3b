/// A version of OpenTelemetry's GenAI conventions.
///
/// The conventions are in development: names change between versions. Collectors and dashboards are made
/// for one of them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GenAiVersion {
    /// v1.41 of April 2026, the last one of `open-telemetry/semantic-conventions`. Names do not change
    /// here.
    V1_41,
    /// The repository `open-telemetry/semantic-conventions-genai`, as it was when this crate was
    /// released. A minor version of this crate may rename fields here.
    Latest,
}
