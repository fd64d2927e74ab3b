//! The upper bounds of histogram buckets.
//!
//! The `metrics` facade has no buckets. A recorder that needs them gets them from
//! [`Metrics::buckets`](super::Metrics::buckets).

/// Seconds of whole requests and of the upstream: 0.01·2ⁿ up to 81.92.
///
/// The GenAI conventions of OpenTelemetry advise them for `gen_ai.server.request.duration` and
/// `gen_ai.client.operation.duration`.
pub const DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Seconds in the layers of this crate, which take microseconds where nothing waits.
pub const OVERHEAD: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.25, 1.0, 5.0, 30.0,
];

/// Seconds to the first token, as OpenTelemetry advises for `gen_ai.server.time_to_first_token`.
pub const TIME_TO_FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Seconds for each output token, as OpenTelemetry advises for
/// `gen_ai.server.time_per_output_token`.
pub const TIME_PER_OUTPUT_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Tokens of a request: 4ⁿ from 1 to 67,108,864, as OpenTelemetry advises for
/// `gen_ai.client.token.usage`.
pub const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
