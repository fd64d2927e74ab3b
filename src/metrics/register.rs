use std::borrow::Cow;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Level, Metadata, SharedString};

use super::{
    info::{MetricInfo, MetricKind},
    label::Label,
    names::Names,
    table::Metric,
};

const METADATA: Metadata<'_> =
    Metadata::new("tower_inference::metrics", Level::INFO, Some("tower_inference::metrics"));

/// Registers metrics with the recorder of the calling thread, or the global one.
///
/// Registration allocates. Its callers keep the handles that are used for each request.
#[derive(Clone, Debug)]
pub(super) struct Registrar {
    pub(super) names: Names,
    /// The provider of requests whose own is not known.
    pub(super) provider: Cow<'static, str>,
    /// The name of the gateway. Empty for the only one of the recorder.
    pub(super) gateway: Cow<'static, str>,
}

/// The values of labels. One that is empty counts as absent.
pub(super) type Values<'a> = &'a [(Label, SharedString)];

impl Registrar {
    pub(super) fn counter(&self, metric: Metric, values: Values<'_>) -> Counter {
        let register = |key: &Key| metrics::with_recorder(|r| r.register_counter(key, &METADATA));
        self.key(metric, values).map_or_else(Counter::noop, |key| register(&key))
    }

    pub(super) fn gauge(&self, metric: Metric, values: Values<'_>) -> Gauge {
        let register = |key: &Key| metrics::with_recorder(|r| r.register_gauge(key, &METADATA));
        self.key(metric, values).map_or_else(Gauge::noop, |key| register(&key))
    }

    pub(super) fn histogram(&self, metric: Metric, values: Values<'_>) -> Histogram {
        let register = |key: &Key| metrics::with_recorder(|r| r.register_histogram(key, &METADATA));
        self.key(metric, values).map_or_else(Histogram::noop, |key| register(&key))
    }

    /// Tells the recorder what each metric means.
    pub(super) fn describe(&self) {
        for info in MetricInfo::ALL {
            let Some(name) = info.name(self.names) else { continue };
            let (name, unit) = (KeyName::from_const_str(name), Some(info.unit().of_facade()));
            let text = SharedString::const_str(info.description());
            metrics::with_recorder(|recorder| match info.kind() {
                MetricKind::Counter => recorder.describe_counter(name, unit, text),
                MetricKind::Gauge => recorder.describe_gauge(name, unit, text),
                MetricKind::Histogram => recorder.describe_histogram(name, unit, text),
            });
        }
    }

    /// Returns the name with the labels of the metric. `None` if the set of names lacks it for such a
    /// request.
    ///
    /// All series of a metric of Prometheus have the same labels, and an empty one counts as absent
    /// there. OpenTelemetry leaves such a label out.
    fn key(&self, metric: Metric, values: Values<'_>) -> Option<Key> {
        let info = metric.info()?;
        let name = info.name(self.names)?;
        let value_of = |label: Label| {
            let given = values.iter().find(|(own, _)| *own == label);
            given.map_or(SharedString::const_str(""), |(_, value)| value.clone())
        };
        let own = info.own_labels(self.names);
        if !self.names.is_prometheus() && own.contains(&Label::Operation) {
            // The conventions require it.
            let operation = value_of(Label::Operation);
            if operation.is_empty() || !info.is_for(&operation, self.names) {
                return None;
            }
        }
        let gateway = (!self.gateway.is_empty()).then_some(&Label::Gateway);
        let labels = own.iter().chain(gateway).filter_map(|label| {
            let value = match label {
                Label::Provider => {
                    let own = value_of(*label);
                    if own.is_empty() { SharedString::from(self.provider.clone()) } else { own }
                }
                Label::Gateway => SharedString::from(self.gateway.clone()),
                Label::Modality => SharedString::const_str("unknown"),
                _ => value_of(*label),
            };
            let shown = self.names.is_prometheus() || !value.is_empty();
            shown.then(|| metrics::Label::new(label.name(self.names), value))
        });
        Some(Key::from_parts(name, labels.collect::<Vec<_>>()))
    }
}
