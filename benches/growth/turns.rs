//! Costs of several sides that take turns.

use std::time::Instant;

use crate::Error;

/// The median and the quartiles of a cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost<T = f64> {
    pub(crate) low: T,
    pub(crate) median: T,
    pub(crate) high: T,
}

/// One round of a side. It returns the cost of a request.
pub(crate) type Round<'a> = Box<dyn FnMut() -> Result<f64, Error> + 'a>;

/// Runs every side once a round. The first round warms caches and branch predictors.
pub(crate) fn take_turns(rounds: usize, sides: &mut [Round<'_>]) -> Result<Vec<Cost>, Error> {
    let mut samples = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..=rounds {
        for (side, samples) in sides.iter_mut().zip(&mut samples) {
            let cost = side()?;
            if round > 0 {
                samples.push(cost);
            }
        }
    }
    Ok(samples.into_iter().map(Cost::of).collect())
}

/// Returns the nanoseconds of a request. The requests are made before the clock starts.
pub(crate) fn time<R>(
    requests: usize,
    make: impl FnMut() -> R,
    mut run: impl FnMut(R) -> Result<(), Error>,
) -> Result<f64, Error> {
    let made: Vec<_> = std::iter::repeat_with(make).take(requests).collect();
    let start = Instant::now();
    for request in made {
        run(request)?;
    }
    Ok(start.elapsed().as_nanos() as f64 / requests as f64)
}

/// Pseudo-random numbers (Steele and others' SplitMix64), the same in each run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) const fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}

impl Cost {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| samples[(samples.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }

    pub(crate) fn map<T>(self, map: impl Fn(f64) -> T) -> Cost<T> {
        Cost { low: map(self.low), median: map(self.median), high: map(self.high) }
    }
}
