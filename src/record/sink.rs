use super::{needs::Needs, record::Record};

/// Takes the records of requests. A closure over a [`Record`] is one.
///
/// The access log, the metrics and the audit trail are sinks of one layer, so all of them tell the
/// same about a request.
pub trait RecordSink: Send + Sync + 'static {
    /// Returns whether to record a request. Called once when the request arrives. A request that no
    /// sink of the layer wants is not recorded and costs nothing more.
    fn enabled(&self) -> bool {
        true
    }

    /// Returns whether requests may be served. Called once when a request arrives.
    ///
    /// Returns false when this sink must have each record and cannot take one now. The layer then
    /// rejects the request with `audit-unavailable` (503).
    fn accepts_requests(&self) -> bool {
        true
    }

    /// Returns which parts of a request this sink records beside the others. Called once when the layer is
    /// built. Defaults to [`Needs::default`].
    ///
    /// ```
    /// use tower_inference::record::{Needs, Record, RecordSink};
    ///
    /// struct Prompts;
    ///
    /// impl RecordSink for Prompts {
    ///     fn needs(&self) -> Needs {
    ///         let mut needs = Needs::default();
    ///         needs.prompt_bytes = 1_024;
    ///         needs
    ///     }
    ///
    ///     fn record(&self, record: &Record<'_>) {
    ///         let prompt = record.prompt().and_then(|prompt| prompt.excerpt(1_024));
    ///         println!("{:?}", prompt.map(|prompt| prompt.cut_bytes));
    ///     }
    /// }
    /// # assert_eq!(Prompts.needs().prompt_bytes, 1_024);
    /// ```
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Notes the arrival of a request that is recorded. Exactly one call of
    /// [`record`](Self::record) follows for each, also after a panic in here.
    fn arrived(&self) {}

    /// Takes one record.
    ///
    /// The layer calls it at the end of the request: inside a poll of the body or inside a drop,
    /// perhaps during a panic. It must not block. A panic loses this record of this sink and nothing
    /// else.
    fn record(&self, record: &Record<'_>);
}

impl<F: Fn(&Record<'_>) + Send + Sync + 'static> RecordSink for F {
    fn record(&self, record: &Record<'_>) {
        self(record);
    }
}
