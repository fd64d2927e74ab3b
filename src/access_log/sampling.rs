use std::{
    fmt,
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use siphasher::sip::SipHasher24;

use crate::{
    error_debug::debug_as_message,
    keyed_hash::random_key,
    record::{Record, RequestOutcome},
};

/// Shows a share of the successful requests, and each of the others.
///
/// A request that was rejected, failed, was cancelled, had a status of 400 or above, or was slow is always
/// shown. Each record says by [`sample_rate`](Record::sample_rate) which share of the requests it stands
/// for. The sum over `1 / sample_rate` is therefore an estimate for all requests.
///
/// Whether a request is shown depends on its id alone: replicas with the same [key](Self::key) show the
/// same ones. A request without an id counts by its number. Clients that choose their ids cannot choose to
/// be left out, because they do not know the key.
///
/// Sampling belongs to a log. The other sinks of the layer, such as metrics and an audit trail, get each
/// record.
///
/// ```
/// use std::{io, time::Duration};
/// use tower_inference::access_log::{AccessLogLayer, Format, Lines, Sampling, Sink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sampling = Sampling::new(0.1)?.slower_than(Duration::from_secs(10));
/// let lines = Lines::new(Sink::new(io::stdout())?, Format::json()).sampling(sampling);
/// let layer = AccessLogLayer::sink(lines);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sampling {
    rate: f64,
    slow: Duration,
    key: [u8; 16],
    // Of the requests without an id.
    number: Arc<AtomicU64>,
}

/// The error of a rate that is not between 0 and 1.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub struct SamplingError;

impl Sampling {
    /// Shows this share of the successful requests. 1 shows all and 0 shows none of them.
    ///
    /// # Errors
    ///
    /// Returned when the rate is not between 0 and 1.
    pub fn new(rate: f64) -> Result<Self, SamplingError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(SamplingError);
        }
        let (slow, key) = (Duration::from_secs(30), random_key());
        Ok(Self { rate, slow, key, number: Arc::default() })
    }

    /// Sets the time from which a request is slow and always shown. Defaults to 30 seconds.
    #[must_use]
    pub fn slower_than(self, time: Duration) -> Self {
        Self { slow: time, ..self }
    }

    /// Sets the key of the hash. Defaults to a random one.
    #[must_use]
    pub fn key(self, key: [u8; 16]) -> Self {
        Self { key, ..self }
    }

    /// Returns the record to show, which says its share. `None` for a request that is left out.
    #[must_use]
    pub fn sample<'a>(&self, record: &Record<'a>) -> Option<Record<'a>> {
        if self.is_always_shown(record) {
            Some(record.with_sample_rate(1.0))
        } else {
            self.takes(record.request_id()).then(|| record.with_sample_rate(self.rate))
        }
    }

    fn is_always_shown(&self, record: &Record<'_>) -> bool {
        record.outcome() != RequestOutcome::Complete
            || record.status().is_none_or(|status| status.as_u16() >= 400)
            || record.total() >= self.slow
    }

    fn takes(&self, id: Option<&str>) -> bool {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        match id {
            Some(id) => hasher.write(id.as_bytes()),
            None => hasher.write_u64(self.number.fetch_add(1, Relaxed)),
        }
        // 53 bits are a number between 0 and 1 without rounding.
        let place = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.rate
    }
}

impl fmt::Debug for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampling")
            .field("rate", &self.rate)
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SamplingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sampling rate is a number between 0 and 1")
    }
}

debug_as_message!(SamplingError);

impl std::error::Error for SamplingError {}
