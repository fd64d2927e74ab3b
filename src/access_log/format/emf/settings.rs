use super::{dimension::Dimension, error::EmfError, metrics::METRICS, unit::Unit};
use crate::access_log::format::members::root_names;

/// The settings of documents in CloudWatch's Embedded Metric Format.
///
/// A document is a line of JSON that has metrics beside the members of a record. CloudWatch Logs makes
/// metrics of it without an agent or an API call. The names are those of API Gateway's own metrics, so its
/// dashboards and alarms need only another namespace.
///
/// | metric | unit | value |
/// |---|---|---|
/// | `Count` | Count | 1 |
/// | `4XXError`, `5XXError` | Count | 1 for a status of this class, else 0 |
/// | `Rejections` | Count | 1 when a layer rejected the request, else 0 |
/// | `Latency` | Milliseconds | time to the end of the response |
/// | `IntegrationLatency` | Milliseconds | time with upstreams, if it was sent to one |
/// | `FirstByteLatency`, `FirstTokenLatency` | Milliseconds | time to the first byte of the body and to the first token |
/// | `DataProcessed` | Bytes | bytes of both bodies |
/// | `CacheHitCount`, `CacheMissCount` | Count | with a cache: 1 for a hit or a miss, else 0 |
/// | `InputTokens`, `OutputTokens` | Count | as the upstream counts them |
/// | `CachedTokens`, `CacheWriteTokens`, `ReasoningTokens` | Count | parts of these |
///
/// Each document stays within CloudWatch's limits: 256 KiB, 100 metrics and 30 dimensions in a set. More
/// metrics and longer members go to further documents of the same request. A prompt or a completion has at
/// most 40,000 bytes of text here.
///
/// A log that is [sampled](crate::access_log::Sampling) has the metrics of each request. Only the other
/// members are left out.
///
/// ```
/// use std::io;
/// use tower_inference::access_log::{AccessLogLayer, Dimension, Emf, Format, Sink, Unit};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emf = Emf::new("Inference")?
///     .constant("ApiName", "gateway")?
///     .dimensions([vec![], vec![Dimension::Route], vec![Dimension::Model]])?
///     .models(["meta-llama/Llama-3.3-70B-Instruct"])
///     .value("cost_usd", Unit::None)?;
/// let layer = AccessLogLayer::lines(Sink::new(io::stdout())?, Format::emf(emf));
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Emf {
    pub(super) namespace: Box<str>,
    pub(super) constants: Vec<(Box<str>, Box<str>)>,
    pub(super) sets: Vec<Vec<Dimension>>,
    pub(super) models: Vec<Box<str>>,
    pub(super) values: Vec<(Box<str>, Unit)>,
    pub(super) max_metrics: usize,
}

/// CloudWatch drops a document with more metrics without an error.
const MAX_METRICS: usize = 100;
const MAX_DIMENSIONS: usize = 30;
const MAX_SETS: usize = 16;
const MAX_VALUES: usize = 250;

impl Emf {
    /// Creates settings for metrics in this namespace. The dimensions are those of API Gateway: none, the
    /// stage, and the stage with the route.
    ///
    /// # Errors
    ///
    /// Returned when the namespace is not 1 to 1,024 characters of printable ASCII.
    pub fn new(namespace: impl Into<Box<str>>) -> Result<Self, EmfError> {
        let namespace = namespace.into();
        if !is_text(&namespace, 1_024) {
            return Err(EmfError::Namespace);
        }
        let sets = vec![vec![], vec![Dimension::Stage], vec![Dimension::Stage, Dimension::Route]];
        Ok(Self {
            namespace,
            constants: vec![],
            sets,
            models: vec![],
            values: vec![],
            max_metrics: MAX_METRICS,
        })
    }

    /// Adds a dimension with a fixed value to each set, such as the name of the gateway.
    ///
    /// # Errors
    ///
    /// Returned when CloudWatch does not take the name or the value, when the name is in use, and when a set
    /// would have more than 30 dimensions.
    pub fn constant(
        mut self,
        name: impl Into<Box<str>>,
        value: impl Into<Box<str>>,
    ) -> Result<Self, EmfError> {
        let (name, value) = (name.into(), value.into());
        self.check_name(&name, 250)?;
        if !is_text(&value, 1_024) {
            return Err(EmfError::Value(name));
        }
        self.constants.push((name, value));
        self.checked()
    }

    /// Sets the sets of dimensions. CloudWatch makes a metric for each set. A request that has no value for
    /// one of the dimensions of a set does not count in this set.
    ///
    /// # Errors
    ///
    /// Returned when there are no sets or more than 16, and when a set has more than 30 dimensions.
    pub fn dimensions<S: IntoIterator<Item = Dimension>>(
        mut self,
        sets: impl IntoIterator<Item = S>,
    ) -> Result<Self, EmfError> {
        self.sets.clear();
        for set in sets {
            let mut unique = Vec::new();
            for dimension in set {
                if !unique.contains(&dimension) {
                    unique.push(dimension);
                }
            }
            self.sets.push(unique);
        }
        self.checked()
    }

    /// Sets the models that are values of [`Dimension::Model`]. Clients choose the names of models, so all
    /// others count as `other`. By default all do.
    #[must_use]
    pub fn models<T: Into<Box<str>>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Makes a metric of a number that the program [adds] to the request under this name. A request without
    /// it does not count. A flag counts as 0 or 1. A text is no metric, nor is a number outside of -2^360 to
    /// 2^360, which CloudWatch does not take.
    ///
    /// [adds]: crate::context::RequestContext::add_value
    ///
    /// # Errors
    ///
    /// Returned when CloudWatch does not take the name, when it is in use, and beyond 250 values.
    pub fn value(mut self, name: impl Into<Box<str>>, unit: Unit) -> Result<Self, EmfError> {
        let name = name.into();
        self.check_name(&name, 255)?;
        if self.values.len() == MAX_VALUES {
            return Err(EmfError::TooManyMetrics);
        }
        self.values.push((name, unit));
        Ok(self)
    }

    /// Sets how many metrics a document has. Defaults to 100, which is also the maximum. More metrics of a
    /// request go to further documents.
    #[must_use]
    pub fn max_metrics(self, metrics: usize) -> Self {
        Self { max_metrics: metrics.clamp(1, MAX_METRICS), ..self }
    }

    fn check_name(&self, name: &str, longest: usize) -> Result<(), EmfError> {
        if !is_text(name, longest) || name.contains(['"', '\\']) || name.starts_with(':') {
            return Err(EmfError::Name(name.into()));
        }
        let mut used = Dimension::ALL
            .iter()
            .map(|dimension| dimension.name())
            .chain(METRICS.iter().map(|metric| metric.name))
            .chain(self.constants.iter().map(|(name, _)| &**name))
            .chain(self.values.iter().map(|(name, _)| &**name))
            .chain(["_aws", "prompt", "completion", "sample_rate"]);
        if used.any(|used| used == name) || root_names().any(|member| member == name) {
            return Err(EmfError::NameInUse(name.into()));
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, EmfError> {
        if self.sets.is_empty() || self.sets.len() > MAX_SETS {
            return Err(EmfError::Sets);
        }
        let longest = self.sets.iter().map(Vec::len).max().unwrap_or(0);
        if longest + self.constants.len() > MAX_DIMENSIONS {
            return Err(EmfError::TooManyDimensions);
        }
        Ok(self)
    }
}

/// Whether a text is printable ASCII within its length and not blank.
fn is_text(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !text.trim_ascii().is_empty()
}
