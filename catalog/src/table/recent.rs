//! A least-recently-used cache of values by location, up to a total size.

use std::collections::{BTreeMap, HashMap};

/// Values by location, each with its size. The least recently used values are evicted when the total size exceeds a
/// limit.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    limit: usize,
    kept: usize,
    clock: u64,
    values: HashMap<String, Entry<T>>,
    /// Locations by time of last use.
    by_use: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    size: usize,
    used: u64,
}

impl<T: Clone> Recent<T> {
    /// A cache of values whose total size is at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: 0, clock: 0, values: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, location: &str) -> Option<T> {
        self.clock += 1;
        let entry = self.values.get_mut(location)?;
        if let Some(location) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.clock, location);
        }
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    pub(crate) fn put(&mut self, location: &str, value: T, size: usize) {
        self.remove(location);
        self.clock += 1;
        self.kept += size;
        self.values.insert(location.to_string(), Entry { value, size, used: self.clock });
        self.by_use.insert(self.clock, location.to_string());
        while self.kept > self.limit
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, location: &str) {
        if let Some(entry) = self.values.remove(location) {
            self.by_use.remove(&entry.used);
            self.kept -= entry.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recently_used_values_are_kept() {
        let mut recent = Recent::new(20_000);
        for path in ["a", "b", "a", "c"] {
            let known = recent.get(path);
            recent.put(path, known.unwrap_or(1), 9_000);
        }
        assert_eq!(recent.get("b"), None, "a was used after b");
        assert_eq!((recent.get("a"), recent.get("c")), (Some(1), Some(1)));
        recent.put("large", 1, 20_001);
        assert_eq!(recent.get("large"), None, "a value above the limit is not kept");
        assert_eq!((recent.kept, recent.by_use.len()), (0, 0));
    }
}
