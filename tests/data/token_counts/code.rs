use std::{collections::HashMap, fmt, sync::Arc};

/// A cache with a bound on the number of entries; the least recently used one leaves first.
pub struct Cache<K, V> {
    capacity: usize,
    clock: u64,
    entries: HashMap<K, (u64, Arc<V>)>,
}

impl<K: Eq + std::hash::Hash + Clone, V> Cache<K, V> {
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), clock: 0, entries: HashMap::with_capacity(capacity) }
    }

    pub fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        self.clock += 1;
        let now = self.clock;
        if let Some((used, value)) = self.entries.get_mut(key) {
            *used = now;
            return Arc::clone(value);
        }
        if self.entries.len() >= self.capacity {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        let value = Arc::new(make());
        self.entries.insert(key.clone(), (now, Arc::clone(&value)));
        value
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("capacity", &self.capacity)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leaves() {
        let mut cache = Cache::new(2);
        assert_eq!(*cache.get_or_insert_with(&"a", || 1), 1);
        assert_eq!(*cache.get_or_insert_with(&"b", || 2), 2);
        assert_eq!(*cache.get_or_insert_with(&"c", || 3), 3);
        assert_eq!(*cache.get_or_insert_with(&"a", || 4), 4, "was evicted");
    }
}
