use std::fmt;

use super::{kind::Operations, label::Label, names::Names};

/// One metric: its names, kind, unit, labels and meaning.
///
/// ```
/// use tower_inference::metrics::{MetricInfo, MetricKind, Names};
///
/// let tokens = MetricInfo::find(Names::Prometheus, "tower_inference_tokens_total").unwrap();
/// assert_eq!(tokens.kind(), MetricKind::Counter);
/// assert_eq!(tokens.labels(Names::Prometheus), ["route", "model", "type"]);
/// ```
#[derive(Clone, Copy)]
pub struct MetricInfo {
    prometheus: Option<&'static str>,
    open_telemetry_1_41: Option<&'static str>,
    open_telemetry_latest: Option<&'static str>,
    kind: MetricKind,
    unit: MetricUnit,
    labels: &'static [Label],
    open_telemetry_labels: &'static [Label],
    operations: Operations,
    buckets: Option<&'static [f64]>,
    description: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A value of this moment.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl MetricKind {
    /// Returns `counter`, `gauge` or `histogram`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// A number of things, which the description names, or a flag of 0 or 1.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl MetricUnit {
    /// Returns `1`, `seconds` or `bytes`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "1",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }

    pub(super) const fn of_facade(self) -> metrics::Unit {
        match self {
            Self::Count => metrics::Unit::Count,
            Self::Seconds => metrics::Unit::Seconds,
            Self::Bytes => metrics::Unit::Bytes,
        }
    }
}

impl MetricInfo {
    /// Returns the name, or `None` if the metric is not in this set of names.
    #[must_use]
    pub const fn name(&self, names: Names) -> Option<&'static str> {
        match names {
            Names::Prometheus => self.prometheus,
            Names::OpenTelemetry1_41 => self.open_telemetry_1_41,
            Names::OpenTelemetryLatest => self.open_telemetry_latest,
        }
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> MetricKind {
        self.kind
    }

    /// Returns the unit.
    #[must_use]
    pub const fn unit(&self) -> MetricUnit {
        self.unit
    }

    /// Returns the names of the labels.
    #[must_use]
    pub fn labels(&self, names: Names) -> Vec<&'static str> {
        self.own_labels(names).iter().map(|label| label.name(names)).collect()
    }

    /// Returns the advised upper bounds of the buckets of a histogram.
    #[must_use]
    pub const fn buckets(&self) -> Option<&'static [f64]> {
        self.buckets
    }

    /// Returns the meaning, as recorders get it.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    pub(super) const fn own_labels(&self, names: Names) -> &'static [Label] {
        if names.is_prometheus() { self.labels } else { self.open_telemetry_labels }
    }

    /// Returns whether the metric is for requests of this operation.
    pub(super) fn is_for(&self, operation: &str, names: Names) -> bool {
        names != Names::OpenTelemetryLatest || self.operations.include(operation)
    }
}

/// Rows of the table.
impl MetricInfo {
    const fn new(kind: MetricKind, unit: MetricUnit, description: &'static str) -> Self {
        Self {
            prometheus: None,
            open_telemetry_1_41: None,
            open_telemetry_latest: None,
            kind,
            unit,
            labels: &[],
            open_telemetry_labels: &[],
            operations: Operations::All,
            buckets: None,
            description,
        }
    }

    pub(super) const fn counter(unit: MetricUnit, description: &'static str) -> Self {
        Self::new(MetricKind::Counter, unit, description)
    }

    pub(super) const fn gauge(unit: MetricUnit, description: &'static str) -> Self {
        Self::new(MetricKind::Gauge, unit, description)
    }

    pub(super) const fn histogram(
        unit: MetricUnit,
        buckets: &'static [f64],
        description: &'static str,
    ) -> Self {
        let mut row = Self::new(MetricKind::Histogram, unit, description);
        row.buckets = Some(buckets);
        row
    }

    /// Sets the labels of every set of names.
    pub(super) const fn labelled(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self.open_telemetry_labels = labels;
        self
    }

    /// Sets the name and the labels of Prometheus.
    pub(super) const fn prometheus(mut self, name: &'static str, labels: &'static [Label]) -> Self {
        self.prometheus = Some(name);
        self.labels = labels;
        self
    }

    /// Sets the names of OpenTelemetry 1.41 and of the latest version, and the labels of both.
    pub(super) const fn open_telemetry(
        mut self,
        names: [Option<&'static str>; 2],
        labels: &'static [Label],
    ) -> Self {
        [self.open_telemetry_1_41, self.open_telemetry_latest] = names;
        self.open_telemetry_labels = labels;
        self
    }

    /// Limits the metric to these operations in the latest conventions of OpenTelemetry.
    pub(super) const fn latest_for(mut self, operations: Operations) -> Self {
        self.operations = operations;
        self
    }

    /// Sets a name of this crate for Prometheus and one for OpenTelemetry.
    pub(super) const fn own(mut self, prometheus: &'static str, dotted: &'static str) -> Self {
        self.prometheus = Some(prometheus);
        self.open_telemetry_1_41 = Some(dotted);
        self.open_telemetry_latest = Some(dotted);
        self
    }
}

impl fmt::Debug for MetricInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricInfo")
            .field("prometheus", &self.prometheus)
            .field("open_telemetry_1_41", &self.open_telemetry_1_41)
            .field("open_telemetry_latest", &self.open_telemetry_latest)
            .field("kind", &self.kind)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}
