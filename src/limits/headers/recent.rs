//! Values of `ratelimit` that are written again and again.

use std::{fmt, sync::Arc};

use http::HeaderValue;

use crate::lock::Lock;

/// The values of a layer with one limit. The same few permits are left after most requests, so that
/// most responses repeat a value.
#[derive(Clone)]
pub(super) struct RecentValues {
    slots: Arc<[Lock<Recent>; SLOTS]>,
}

/// Enough for the permits of a usual burst. A slot has some 80 bytes.
const SLOTS: usize = 32;

/// The last numbers of a slot.
#[derive(Default)]
struct Recent {
    remaining: u64,
    seconds: u64,
    // `None` until the numbers come again. To share a value costs an allocation, and those of a quota
    // never come again.
    value: Option<HeaderValue>,
}

impl RecentValues {
    /// Returns the value for these numbers, which `write` writes.
    pub(super) fn value(
        &self,
        remaining: u64,
        seconds: u64,
        write: impl FnOnce() -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let mixed = remaining.wrapping_mul(5).wrapping_add(seconds);
        let slot = self.slots.get((mixed % SLOTS as u64) as usize)?;
        let mut recent = slot.lock();
        if (recent.remaining, recent.seconds) != (remaining, seconds) {
            *recent = Recent { remaining, seconds, value: None };
            drop(recent);
            return write();
        }
        if recent.value.is_none() {
            recent.value = write();
        }
        recent.value.clone()
    }
}

impl Default for RecentValues {
    fn default() -> Self {
        Self { slots: Arc::new(std::array::from_fn(|_| Lock::default())) }
    }
}

impl fmt::Debug for RecentValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentValues").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_numbers_has_its_own_value() {
        let recent = RecentValues::default();
        for _ in 0..3 {
            for remaining in 0..100 {
                for seconds in [0, 1, 5, 59] {
                    let text = format!("{remaining} {seconds}");
                    for _ in 0..3 {
                        let write = || HeaderValue::from_str(&text).ok();
                        let value = recent.value(remaining, seconds, write).unwrap();
                        assert_eq!(value.to_str().unwrap(), text);
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_that_comes_again_is_written_twice() {
        let recent = RecentValues::default();
        let mut written = 0;
        for _ in 0..10 {
            let value = recent.value(9, 1, || {
                written += 1;
                Some(HeaderValue::from_static("\"a\";r=9;t=1"))
            });
            assert_eq!(value.unwrap(), "\"a\";r=9;t=1");
        }
        assert_eq!(written, 2);
    }
}
