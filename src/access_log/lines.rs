use std::fmt;

use super::{format::Format, sampling::Sampling, sink::Sink};
use crate::record::{Needs, Record, RecordSink};

/// Writes each record as a line of a format into a [`Sink`].
///
/// A layer may have several of them: one for people and one for CloudWatch.
#[derive(Clone)]
pub struct Lines {
    sink: Sink,
    format: Format,
    sampling: Option<Sampling>,
}

impl Lines {
    /// Creates a log that writes all records.
    #[must_use]
    pub const fn new(sink: Sink, format: Format) -> Self {
        Self { sink, format, sampling: None }
    }

    /// Writes only a share of the successful requests. By default each is written.
    #[must_use]
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling: Some(sampling), ..self }
    }
}

impl RecordSink for Lines {
    fn needs(&self) -> Needs {
        self.format.needs()
    }

    fn record(&self, record: &Record<'_>) {
        let take = |line: &[u8]| self.sink.line(line);
        match &self.sampling {
            None => self.format.render(record, take),
            Some(sampling) => match sampling.sample(record) {
                Some(shown) => self.format.render(&shown, take),
                None => self.format.render_left_out(record, take),
            },
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("sink", &self.sink)
            .field("format", &self.format)
            .field("sampling", &self.sampling)
            .finish()
    }
}
