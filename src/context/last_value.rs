//! A text that later attempts of a request may replace.

use std::sync::OnceLock;

/// The values that an attempt and its successors set. Readers borrow the last one.
#[derive(Debug)]
pub(super) struct LastValue<T> {
    first: OnceLock<Link<T>>,
}

#[derive(Debug)]
struct Link<T> {
    value: T,
    next: OnceLock<Box<Self>>,
}

/// More values than a request has attempts. Later ones are dropped, so that nobody grows the list.
const MAX_VALUES: usize = 64;

impl<T: AsRef<str>> LastValue<T> {
    pub(super) fn get(&self) -> Option<&T> {
        let mut link = self.first.get()?;
        while let Some(next) = link.next.get() {
            link = next;
        }
        Some(&link.value)
    }

    pub(super) fn set(&self, value: T) {
        let mut new = Link { value, next: OnceLock::new() };
        let Err(back) = self.first.set(new) else { return };
        new = back;
        let Some(mut link) = self.first.get() else { return };
        for _ in 1..MAX_VALUES {
            if let Some(next) = link.next.get() {
                link = next;
                continue;
            }
            if link.value.as_ref() == new.value.as_ref() {
                return;
            }
            match link.next.set(Box::new(new)) {
                Ok(()) => return,
                Err(back) => new = *back,
            }
        }
    }
}

impl<T> Default for LastValue<T> {
    fn default() -> Self {
        Self { first: OnceLock::new() }
    }
}

impl<T: Clone> Clone for LastValue<T> {
    fn clone(&self) -> Self {
        let clone = Self::default();
        let mut link = self.first.get();
        while let Some(at) = link {
            link = at.next.get().map(|next| &**next);
            if link.is_none() {
                let last = Link { value: at.value.clone(), next: OnceLock::new() };
                let _empty = clone.first.set(last);
            }
        }
        clone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_read() {
        let values = LastValue::default();
        assert_eq!(values.get(), None);
        for value in ["a", "a", "b", "a"] {
            values.set(value);
            assert_eq!(values.get(), Some(&value));
            assert_eq!(values.clone().get(), Some(&value));
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let values = LastValue::default();
        for value in 0..1_000 {
            values.set(value.to_string());
        }
        let last: usize = values.get().unwrap().parse().unwrap();
        assert!(last <= MAX_VALUES, "{last}");
    }
}
