use std::time::Duration;

/// Upper bounds in milliseconds: 0.01·2ⁿ seconds up to 81.92, as the conventions of OpenTelemetry advise
/// for the times of chunks.
const BOUNDS: [u128; 14] =
    [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920];

/// The times between the chunks of a response, in as many classes as a histogram has, so that a stream
/// without end takes no more memory than a short one.
#[derive(Debug, Default)]
pub(crate) struct ChunkTimes {
    last: Option<Duration>,
    classes: [Class; BOUNDS.len() + 1],
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    chunks: u32,
    sum: Duration,
}

impl ChunkTimes {
    /// Notes a chunk that came at this time since the arrival of the request.
    pub(crate) fn chunk(&mut self, now: Duration) {
        let Some(last) = self.last.replace(now) else { return };
        let time = now.saturating_sub(last);
        let class = BOUNDS.partition_point(|bound| bound * 1_000_000 < time.as_nanos());
        if let Some(class) = self.classes.get_mut(class) {
            class.chunks = class.chunks.saturating_add(1);
            class.sum = class.sum.saturating_add(time);
        }
    }

    /// Returns the mean in seconds and the number of chunks of each class that has some.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (f64, usize)> {
        let used = self.classes.iter().filter(|class| class.chunks > 0);
        used.map(|Class { chunks, sum }| {
            (sum.as_secs_f64() / f64::from(*chunks), usize::try_from(*chunks).unwrap_or(usize::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chunk_has_no_time() {
        let mut times = ChunkTimes::default();
        let at = |milliseconds| Duration::from_millis(milliseconds);
        times.chunk(at(500));
        assert_eq!(times.classes().count(), 0);
        // A clock that went back is no negative time.
        for now in [508, 516, 8_516, 8_416, 300_000] {
            times.chunk(at(now));
        }
        let classes: Vec<_> = times.classes().collect();
        assert_eq!(classes, [(0.016 / 3.0, 3), (8.0, 1), (291.584, 1)]);
    }
}
