//! Every metric in one table.

use super::{
    buckets,
    info::{
        MetricInfo,
        MetricUnit::{Bytes, Count, Seconds},
    },
    kind::Operations,
    label::Label::{
        self, CacheResult, Decision, ErrorType, Keys, Layer, Limit, Log, Modality, Mode, Model,
        Operation, Outcome, Provider, Reason, Refusal, Route, Status, Target, TokenType,
    },
    names::Names,
};

/// A metric, as the place of its row in the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(
    not(all(feature = "cache", feature = "throttle")),
    expect(dead_code, reason = "the metrics of layers that are turned off")
)]
pub(crate) enum Metric {
    Requests,
    InFlight,
    RequestDuration,
    UpstreamDuration,
    EmbeddingsDuration,
    OperationDuration,
    OverheadDuration,
    TimeToFirstToken,
    TimePerOutputToken,
    TimeToFirstChunk,
    TimePerOutputChunk,
    Tokens,
    TokenUsage,
    InputTokens,
    OutputTokens,
    CachedTokens,
    ReasoningTokens,
    OperationInputTokens,
    OperationOutputTokens,
    EmbeddingsInputTokens,
    RequestBytes,
    ResponseBytes,
    Attempts,
    AbandonedAttempts,
    Fallbacks,
    CacheRequests,
    LimitedRequests,
    OtherModels,
    KeysAge,
    KeysReady,
    KeysFailures,
    TokenAge,
    TokenReady,
    TokenFailures,
    UpstreamInFlight,
    UpstreamSlots,
    UpstreamQueued,
    TargetInFlight,
    TargetQueued,
    TargetCoolingDown,
    OpenResponses,
    PayloadBytes,
    PayloadMaxBytes,
    CacheEntries,
    CacheBytes,
    CacheMaxBytes,
    CacheInFlight,
    CacheStored,
    CacheEvicted,
    CacheSavedTokens,
    CacheSavedTime,
    LimitDecisions,
    BudgetReserved,
    BudgetCharged,
    BudgetRefunded,
    AuditLag,
    AuditLost,
    LogDropped,
}

impl Metric {
    /// Returns the row. Each metric has one.
    pub(super) fn info(self) -> Option<&'static MetricInfo> {
        MetricInfo::ALL.get(self as usize)
    }
}

/// The labels of the GenAI conventions, and the route.
const GEN_AI: &[Label] = &[Operation, Provider, Model, Route];

impl MetricInfo {
    /// Every metric, grouped by what it counts.
    pub const ALL: &'static [Self] = &[
        Self::counter(Count, "Requests by how they ended.")
            .own("tower_inference_requests_total", "tower_inference.requests")
            .labelled(&[Route, Model, Status, Outcome, Refusal]),
        Self::gauge(Count, "Requests that have arrived and not ended.")
            .own("tower_inference_in_flight_requests", "tower_inference.in_flight_requests"),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time from the arrival of a request to its end.",
        )
        .prometheus("tower_inference_request_duration_seconds", &[Route, Model, Outcome])
        .open_telemetry(
            [Some("gen_ai.server.request.duration"), Some("gen_ai.server.request.duration")],
            &[Operation, Provider, Model, Route, ErrorType],
        ),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time that a request spent with upstreams, all attempts together. \
             Requests without an attempt are left out.",
        )
        .prometheus("tower_inference_upstream_duration_seconds", &[Route, Model])
        .open_telemetry(
            [Some("gen_ai.client.operation.duration"), Some("gen_ai.client.inference.duration")],
            &[Operation, Provider, Model, Route, ErrorType],
        )
        .latest_for(Operations::Inference),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time that a request for embeddings spent with upstreams.",
        )
        .open_telemetry(
            [None, Some("gen_ai.client.embeddings.duration")],
            &[Operation, Provider, Model, Route, ErrorType],
        )
        .latest_for(Operations::Embeddings),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time that a request spent with upstreams which is neither for inference nor \
             for embeddings, such as a ranking.",
        )
        .open_telemetry(
            [None, Some("gen_ai.client.operation.duration")],
            &[Operation, Provider, Model, Route, ErrorType],
        )
        .latest_for(Operations::Others),
        Self::histogram(
            Seconds,
            buckets::OVERHEAD,
            "Time of a request outside of upstreams: the whole less the time with \
             upstreams. It includes waits for the bodies of clients. Followers of shared \
             calls are left out.",
        )
        .own("tower_inference_overhead_duration_seconds", "tower_inference.overhead.duration")
        .labelled(&[Route]),
        Self::histogram(
            Seconds,
            buckets::TIME_TO_FIRST_TOKEN,
            "Time from the arrival of a request to the first token of a streamed \
             response. Hits and followers are left out.",
        )
        .prometheus("tower_inference_time_to_first_token_seconds", &[Route, Model])
        .open_telemetry(
            [Some("gen_ai.server.time_to_first_token"), Some("gen_ai.server.time_to_first_token")],
            GEN_AI,
        ),
        Self::histogram(
            Seconds,
            buckets::TIME_PER_OUTPUT_TOKEN,
            "Time for each output token after the first: (whole time - time to the \
             first token) / (output tokens - 1). Streamed responses only. Hits and \
             followers are left out.",
        )
        .prometheus("tower_inference_time_per_output_token_seconds", &[Route, Model])
        .open_telemetry(
            [
                Some("gen_ai.server.time_per_output_token"),
                Some("gen_ai.server.time_per_output_token"),
            ],
            GEN_AI,
        ),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time from the first attempt to the first chunk of a stream.",
        )
        .open_telemetry(
            [
                Some("gen_ai.client.operation.time_to_first_chunk"),
                Some("gen_ai.client.inference.time_to_first_chunk"),
            ],
            GEN_AI,
        )
        .latest_for(Operations::Inference),
        Self::histogram(
            Seconds,
            buckets::DURATION,
            "Time between two chunks of a stream, for each chunk after the first. A chunk \
             is a frame of the body.",
        )
        .open_telemetry(
            [
                Some("gen_ai.client.operation.time_per_output_chunk"),
                Some("gen_ai.client.inference.time_per_output_chunk"),
            ],
            GEN_AI,
        )
        .latest_for(Operations::Inference),
        Self::counter(
            Count,
            "Tokens as the upstream counts them. The types do not overlap: input \
             without cached_input, output without reasoning_output. Hits and followers \
             spend none.",
        )
        .own("tower_inference_tokens_total", "tower_inference.tokens")
        .labelled(&[Route, Model, TokenType]),
        Self::histogram(
            Count,
            buckets::TOKENS,
            "Tokens of a request by type, cached and reasoning tokens included in \
             input and output.",
        )
        .open_telemetry(
            [Some("gen_ai.client.token.usage"), None],
            &[Operation, Provider, Model, Route, TokenType],
        ),
        Self::counter(Count, "Tokens of prompts, cached ones included.")
            .open_telemetry(
                [None, Some("gen_ai.client.inference.usage.input_tokens")],
                &[Operation, Provider, Model, Route, Modality],
            )
            .latest_for(Operations::Inference),
        Self::counter(Count, "Tokens of responses, reasoning included.")
            .open_telemetry(
                [None, Some("gen_ai.client.inference.usage.output_tokens")],
                &[Operation, Provider, Model, Route, Modality],
            )
            .latest_for(Operations::Inference),
        Self::counter(
            Count,
            "Tokens of prompts that the upstream read from its own cache. They are \
             part of the input tokens.",
        )
        .open_telemetry(
            [
                Some("tower_inference.cached_input_tokens"),
                Some("gen_ai.client.inference.usage.cache_read.input_tokens"),
            ],
            &[Operation, Provider, Model, Route, Modality],
        )
        .latest_for(Operations::Inference),
        Self::counter(
            Count,
            "Tokens of responses that are reasoning. They are part of the output \
             tokens.",
        )
        .open_telemetry(
            [
                Some("tower_inference.reasoning_output_tokens"),
                Some("gen_ai.client.inference.usage.reasoning.output_tokens"),
            ],
            &[Operation, Provider, Model, Route, Modality],
        )
        .latest_for(Operations::Inference),
        Self::histogram(Count, buckets::TOKENS, "Tokens of the prompt of a request.")
            .open_telemetry([None, Some("gen_ai.client.inference.operation.input_tokens")], GEN_AI)
            .latest_for(Operations::Inference),
        Self::histogram(Count, buckets::TOKENS, "Tokens of the response of a request.")
            .open_telemetry([None, Some("gen_ai.client.inference.operation.output_tokens")], GEN_AI)
            .latest_for(Operations::Inference),
        Self::histogram(Count, buckets::TOKENS, "Tokens of a request for embeddings.")
            .open_telemetry([None, Some("gen_ai.client.embeddings.operation.input_tokens")], GEN_AI)
            .latest_for(Operations::Embeddings),
        Self::counter(Bytes, "Bytes read of request bodies.")
            .own("tower_inference_request_bytes_total", "tower_inference.request.bytes")
            .labelled(&[Route]),
        Self::counter(Bytes, "Bytes passed on of response bodies.")
            .own("tower_inference_response_bytes_total", "tower_inference.response.bytes")
            .labelled(&[Route]),
        Self::counter(Count, "Requests sent to upstreams, retries and fallbacks included.")
            .own("tower_inference_upstream_attempts_total", "tower_inference.upstream.attempts")
            .labelled(&[Route, Model]),
        Self::counter(
            Count,
            "Attempts whose response was not used because another attempt followed, \
             by the target that failed and the reason.",
        )
        .own("tower_inference_abandoned_attempts_total", "tower_inference.abandoned_attempts")
        .labelled(&[Target, Reason]),
        Self::counter(
            Count,
            "Requests that another model or upstream served than the client named.",
        )
        .own("tower_inference_fallbacks_total", "tower_inference.fallbacks")
        .labelled(&[Route, Model]),
        Self::counter(
            Count,
            "Requests by how the cache took part: hit, miss, follower (shares the \
             upstream call of another request) or bypass.",
        )
        .own("tower_inference_cache_requests_total", "tower_inference.cache.requests")
        .labelled(&[Route, Model, CacheResult]),
        Self::counter(
            Count,
            "Requests by the first limit that rejected them (enforced) or would have \
             rejected them (shadow).",
        )
        .own("tower_inference_limited_requests_total", "tower_inference.limited_requests")
        .labelled(&[Limit, Mode]),
        Self::counter(
            Count,
            "Requests whose model has the label other: unproven (no request for it \
             has succeeded yet), full (all labels are taken) or unprintable.",
        )
        .own("tower_inference_other_models_total", "tower_inference.other_models")
        .labelled(&[Reason]),
        Self::gauge(Seconds, "Time since the verification keys were last fetched.")
            .own("tower_inference_keys_age_seconds", "tower_inference.keys.age")
            .labelled(&[Keys]),
        Self::gauge(Count, "1 if there are usable verification keys, otherwise 0.")
            .own("tower_inference_keys_ready", "tower_inference.keys.ready")
            .labelled(&[Keys]),
        Self::counter(Count, "Failed fetches of verification keys and failed reads of key files.")
            .own("tower_inference_keys_failures_total", "tower_inference.keys.failures")
            .labelled(&[Keys]),
        Self::gauge(Seconds, "Time since the oldest token of an upstream was read or fetched.")
            .own("tower_inference_token_age_seconds", "tower_inference.token.age")
            .labelled(&[Target]),
        Self::gauge(Count, "1 if there is a token for each source of an upstream, otherwise 0.")
            .own("tower_inference_token_ready", "tower_inference.token.ready")
            .labelled(&[Target]),
        Self::counter(
            Count,
            "Failed fetches of the upstream's token and failed reads of its file.",
        )
        .own("tower_inference_token_failures_total", "tower_inference.token.failures")
        .labelled(&[Target]),
        Self::gauge(
            Count,
            "Slots of the upstream layer in use: requests whose response has not \
             ended.",
        )
        .own(
            "tower_inference_upstream_in_flight_requests",
            "tower_inference.upstream.in_flight_requests",
        ),
        Self::gauge(Count, "Slots of the upstream layer.")
            .own("tower_inference_upstream_slots", "tower_inference.upstream.slots"),
        Self::gauge(Count, "Requests that wait for a slot of the upstream layer.").own(
            "tower_inference_upstream_queued_requests",
            "tower_inference.upstream.queued_requests",
        ),
        Self::gauge(Count, "Requests in flight at a target of the fallback.")
            .own(
                "tower_inference_target_in_flight_requests",
                "tower_inference.target.in_flight_requests",
            )
            .labelled(&[Target]),
        Self::gauge(Count, "Requests that wait for a target of the fallback, if it has a maximum.")
            .own("tower_inference_target_queued_requests", "tower_inference.target.queued_requests")
            .labelled(&[Target]),
        Self::gauge(
            Count,
            "1 while a target of the fallback is avoided after failures, otherwise 0.",
        )
        .own("tower_inference_target_cooling_down", "tower_inference.target.cooling_down")
        .labelled(&[Target]),
        Self::gauge(Count, "Response bodies that clients are reading.")
            .own("tower_inference_open_responses", "tower_inference.open_responses"),
        Self::gauge(Bytes, "Memory that request bodies take.")
            .own("tower_inference_payload_memory_bytes", "tower_inference.payload.memory"),
        Self::gauge(Bytes, "Memory that request bodies may take.")
            .own("tower_inference_payload_memory_max_bytes", "tower_inference.payload.memory.max"),
        Self::gauge(Count, "Entries of the cache in memory, stale ones included.")
            .own("tower_inference_cache_entries", "tower_inference.cache.entries"),
        Self::gauge(Bytes, "Memory that the entries of the cache take.")
            .own("tower_inference_cache_memory_bytes", "tower_inference.cache.memory"),
        Self::gauge(Bytes, "Memory that the entries of the cache may take.")
            .own("tower_inference_cache_memory_max_bytes", "tower_inference.cache.memory.max"),
        Self::gauge(Count, "Upstream calls in flight that the cache shares among requests.")
            .own("tower_inference_cache_in_flight_calls", "tower_inference.cache.in_flight_calls"),
        Self::counter(Count, "Responses that the cache stored.")
            .own("tower_inference_cache_stored_total", "tower_inference.cache.stored")
            .labelled(&[Route]),
        Self::counter(Count, "Entries that the cache evicted to make room for others.")
            .own("tower_inference_cache_evicted_total", "tower_inference.cache.evicted")
            .labelled(&[Route]),
        Self::counter(Count, "Tokens of prompts and responses that hits and followers saved.")
            .own("tower_inference_cache_saved_tokens_total", "tower_inference.cache.saved_tokens")
            .labelled(&[Route]),
        Self::counter(Seconds, "Upstream time that hits and followers saved, in whole seconds.")
            .own("tower_inference_cache_saved_seconds_total", "tower_inference.cache.saved_time")
            .labelled(&[Route]),
        Self::counter(
            Count,
            "Decisions of each limit: allowed, rejected or shadow_rejected. Budgets \
             of tokens are those of the layer token_budget.",
        )
        .own("tower_inference_limit_decisions_total", "tower_inference.limit.decisions")
        .labelled(&[Layer, Limit, Decision]),
        Self::counter(
            Count,
            "Tokens that requests reserved of a budget: the estimate of the prompt and the \
             output limit, times their weight.",
        )
        .own(
            "tower_inference_budget_reserved_tokens_total",
            "tower_inference.budget.reserved_tokens",
        )
        .labelled(&[Limit]),
        Self::counter(Count, "Tokens that ended requests used of a budget, times their weight.")
            .own(
                "tower_inference_budget_charged_tokens_total",
                "tower_inference.budget.charged_tokens",
            )
            .labelled(&[Limit]),
        Self::counter(
            Count,
            "Reserved tokens of a budget that ended requests did not use, times their weight.",
        )
        .own(
            "tower_inference_budget_refunded_tokens_total",
            "tower_inference.budget.refunded_tokens",
        )
        .labelled(&[Limit]),
        Self::gauge(Count, "Records that the audit trail has taken and not yet made durable.")
            .own("tower_inference_audit_lag_records", "tower_inference.audit.lag"),
        Self::counter(Count, "Records that the audit trail could not take.")
            .own("tower_inference_audit_lost_records_total", "tower_inference.audit.lost_records"),
        Self::counter(Count, "Lines that a log lost because its writer was too slow or failed.")
            .own("tower_inference_log_dropped_lines_total", "tower_inference.log.dropped_lines")
            .labelled(&[Log]),
    ];

    /// Returns the metric with this name.
    #[must_use]
    pub fn find(names: Names, name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|info| info.name(names) == Some(name))
    }
}
