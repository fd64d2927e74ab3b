use super::names::Names;

/// A label of a metric. Its values come from a bounded set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Label {
    /// The name of the route.
    Route,
    /// The model that the client named, or `other`.
    Model,
    /// The class of the status such as `2xx`.
    Status,
    /// The name of a `RequestOutcome`.
    Outcome,
    /// The slug of the rejection.
    Refusal,
    /// `error.type` of OpenTelemetry: the slug of the rejection, the outcome or the status.
    ErrorType,
    /// `gen_ai.operation.name`.
    Operation,
    /// `gen_ai.provider.name`.
    Provider,
    /// The name of the gateway, for several of them in one process.
    Gateway,
    /// `gen_ai.token.modality`. Always `unknown`, because no count names it.
    Modality,
    /// The kind of tokens.
    TokenType,
    /// How the cache took part.
    CacheResult,
    /// The name of a limit.
    Limit,
    /// Whether the limit is enforced or in shadow.
    Mode,
    /// The layer that has the limit.
    Layer,
    /// `allowed`, `rejected` or `shadow_rejected`.
    Decision,
    /// The name of a target or stage.
    Target,
    /// Why an attempt was followed by another one, or why a model has no label of its own.
    Reason,
    /// The host or file of a set of keys.
    Keys,
    /// The name of a log.
    Log,
}

impl Label {
    pub(super) const fn name(self, names: Names) -> &'static str {
        match (self, names.is_prometheus()) {
            (Self::Route, true) => "route",
            (Self::Route, false) => "tower_inference.route",
            (Self::Model, true) => "model",
            (Self::Model, false) => "gen_ai.request.model",
            (Self::Status, true) => "status",
            (Self::Status, false) => "tower_inference.status_class",
            (Self::Outcome, true) => "outcome",
            (Self::Outcome, false) => "tower_inference.outcome",
            (Self::Refusal, true) => "refusal",
            (Self::Refusal, false) => "tower_inference.refusal",
            (Self::ErrorType, true) => "error_type",
            (Self::ErrorType, false) => "error.type",
            (Self::Operation, true) => "operation",
            (Self::Operation, false) => "gen_ai.operation.name",
            (Self::Provider, true) => "provider",
            (Self::Provider, false) => "gen_ai.provider.name",
            (Self::Gateway, true) => "gateway",
            (Self::Gateway, false) => "tower_inference.gateway",
            (Self::Modality, true) => "modality",
            (Self::Modality, false) => "gen_ai.token.modality",
            (Self::TokenType, true) => "type",
            (Self::TokenType, false) => "gen_ai.token.type",
            (Self::CacheResult, true) => "result",
            (Self::CacheResult, false) => "tower_inference.cache.result",
            (Self::Limit, true) => "limit",
            (Self::Limit, false) => "tower_inference.limit",
            (Self::Mode, true) => "mode",
            (Self::Mode, false) => "tower_inference.limit.mode",
            (Self::Layer, true) => "layer",
            (Self::Layer, false) => "tower_inference.layer",
            (Self::Decision, true) => "decision",
            (Self::Decision, false) => "tower_inference.limit.decision",
            (Self::Target, true) => "target",
            (Self::Target, false) => "tower_inference.target",
            (Self::Reason, true) => "reason",
            (Self::Reason, false) => "tower_inference.reason",
            (Self::Keys, true) => "keys",
            (Self::Keys, false) => "tower_inference.keys",
            (Self::Log, true) => "log",
            (Self::Log, false) => "tower_inference.log",
        }
    }
}
