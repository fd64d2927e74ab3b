//! Values that are read on demand, before a scrape.

use metrics::SharedString;

use super::{label::Label, sink::Metrics, table::Metric};
#[cfg(feature = "throttle")]
use crate::limits::LimitCounts;

/// Facts that no record has. Call these before the recorder is read. No task of this crate calls them.
///
/// [`Snapshot::publish`](crate::stack::Snapshot::publish) does it for all layers of a stack.
impl Metrics {
    /// Sets how many lines the log with this name lost so far, as
    /// [`Sink::dropped_lines`](crate::access_log::Sink::dropped_lines) counts them.
    pub fn dropped_lines(&self, log: &'static str, lines: u64) {
        let log = (Label::Log, SharedString::const_str(log));
        self.set_counter(Metric::LogDropped, &[log], lines);
    }

    /// Sets how many records the audit trail has taken and not yet written, as
    /// [`AuditLog::lag`](https://docs.rs/tower-inference/latest/tower_inference/audit/struct.AuditLog.html#method.lag)
    /// counts them.
    pub fn audit_lag(&self, records: u64) {
        self.set_gauge(Metric::AuditLag, &[], records as f64);
    }

    /// Sets how many records the audit trail has lost so far.
    pub fn audit_lost(&self, records: u64) {
        self.set_counter(Metric::AuditLost, &[], records);
    }

    /// Sets the decisions of the limits of one layer so far, and the tokens of budgets, as
    /// [`ThrottleLayer::counts`](crate::throttle::ThrottleLayer::counts) and
    /// [`TokenBudgetLayer::counts`](crate::token_budget::TokenBudgetLayer::counts) return them.
    #[cfg(feature = "throttle")]
    #[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
    pub fn limits(&self, layer: &'static str, counts: &[LimitCounts]) {
        for limit in counts {
            for (decision, requests) in [
                ("allowed", limit.allowed),
                ("rejected", limit.rejected),
                ("shadow_rejected", limit.shadow_rejected),
            ] {
                let values = [
                    (Label::Layer, SharedString::const_str(layer)),
                    (Label::Limit, SharedString::from_shared(limit.name.clone())),
                    (Label::Decision, SharedString::const_str(decision)),
                ];
                self.set_counter(Metric::LimitDecisions, &values, requests);
            }
            let Some(tokens) = limit.tokens else { continue };
            for (metric, tokens) in [
                (Metric::BudgetReserved, tokens.reserved),
                (Metric::BudgetCharged, tokens.charged),
                (Metric::BudgetRefunded, tokens.refunded),
            ] {
                let limit = (Label::Limit, SharedString::from_shared(limit.name.clone()));
                self.set_counter(metric, &[limit], tokens);
            }
        }
    }
}
