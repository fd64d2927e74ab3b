//! A text that later attempts of a request may replace.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Release},
    },
};

/// The values that the attempts of a request set. Readers borrow the last one.
///
/// A borrowed value stays where it is, so each text has a link and a text that comes again uses its
/// link again. There are at most as many links as targets, however many attempts there are.
#[derive(Debug)]
pub(super) struct LastValue<T> {
    first: OnceLock<Link<T>>,
    /// The place of the last value in the list.
    last: AtomicUsize,
}

#[derive(Debug)]
struct Link<T> {
    value: T,
    next: OnceLock<Box<Self>>,
}

impl<T: AsRef<str>> LastValue<T> {
    pub(super) fn get(&self) -> Option<&T> {
        let mut link = self.first.get()?;
        // A link is in the list before its place is stored.
        for _ in 0..self.last.load(Acquire) {
            link = link.next.get()?;
        }
        Some(&link.value)
    }

    pub(super) fn set(&self, value: T) {
        let Err(mut new) = self.first.set(Link { value, next: OnceLock::new() }) else { return };
        let Some(mut link) = self.first.get() else { return };
        let mut place = 0;
        while link.value.as_ref() != new.value.as_ref() {
            place += 1;
            if link.next.get().is_none() {
                match link.next.set(Box::new(new)) {
                    Ok(()) => break,
                    Err(back) => new = *back,
                }
            }
            let Some(next) = link.next.get() else { return };
            link = next;
        }
        self.last.store(place, Release);
    }
}

impl<T> Default for LastValue<T> {
    fn default() -> Self {
        Self { first: OnceLock::new(), last: AtomicUsize::new(0) }
    }
}

impl<T: AsRef<str> + Clone> Clone for LastValue<T> {
    fn clone(&self) -> Self {
        let clone = Self::default();
        if let Some(value) = self.get() {
            clone.set(value.clone());
        }
        clone
    }
}

impl<T> Drop for LastValue<T> {
    fn drop(&mut self) {
        // One after the other, because each link would drop the next one on the stack.
        let mut next = self.first.get_mut().and_then(|first| first.next.take());
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links<T>(values: &LastValue<T>) -> usize {
        let mut link = values.first.get();
        std::iter::from_fn(|| {
            let this = link?;
            link = this.next.get().map(|next| &**next);
            Some(())
        })
        .count()
    }

    #[test]
    fn the_last_value_is_read() {
        let values = LastValue::default();
        assert_eq!(values.get(), None);
        for value in ["a", "a", "b", "a", "c", "b", "b"] {
            values.set(value);
            assert_eq!(values.get(), Some(&value));
            assert_eq!(values.clone().get(), Some(&value));
        }
        assert_eq!(links(&values), 3);
        assert_eq!(links(&values.clone()), 1);
    }

    #[test]
    fn the_last_of_many_values_is_read() {
        let values = LastValue::default();
        for value in 0..10_000 {
            let value = (value % 7).to_string();
            values.set(value.clone());
            assert_eq!(values.get(), Some(&value));
        }
        assert_eq!(links(&values), 7);
        // A long list is dropped without recursion.
        let values = LastValue::default();
        values.set("0".to_owned());
        let mut end = values.first.get().unwrap();
        for value in 1..200_000 {
            assert!(
                end.next
                    .set(Box::new(Link { value: value.to_string(), next: OnceLock::new() }))
                    .is_ok()
            );
            end = end.next.get().unwrap();
        }
        values.last.store(199_999, Release);
        assert_eq!(values.get().unwrap(), "199999");
    }

    #[test]
    fn threads_set_values_at_once() {
        let values = LastValue::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let values = &values;
                scope.spawn(move || {
                    for value in 0..200 {
                        values.set((value % 5 + thread).to_string());
                        assert!(values.get().is_some());
                    }
                });
            }
        });
        assert_eq!(links(&values), 8);
        values.set("last".to_owned());
        assert_eq!(values.get().unwrap(), "last");
    }
}
