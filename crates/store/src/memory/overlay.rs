//! A map with the uncommitted changes of a transaction on top.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::RangeBounds;

/// Changed rows; `None`: removed.
pub(super) type Changes<K, V> = BTreeMap<K, Option<V>>;

/// A map with changes on top.
pub(super) struct Overlay<'a, K, V> {
    base: &'a BTreeMap<K, V>,
    changes: Changes<K, V>,
}

impl<'a, K: Ord + Copy, V: Clone> Overlay<'a, K, V> {
    pub(super) fn new(base: &'a BTreeMap<K, V>) -> Self {
        Self {
            base,
            changes: Changes::new(),
        }
    }

    pub(super) fn into_changes(self) -> Changes<K, V> {
        self.changes
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self.changes.get(key) {
            Some(change) => change.as_ref(),
            None => self.base.get(key),
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.changes.insert(key, Some(value));
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.changes.insert(*key, None);
    }

    pub(super) fn remove_range(&mut self, range: impl RangeBounds<K> + Clone) {
        let keys = self.range(range).map(|(key, _)| *key).collect::<Vec<_>>();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// Returns the rows in a range, in order.
    pub(super) fn range(
        &self,
        range: impl RangeBounds<K> + Clone,
    ) -> impl Iterator<Item = (&K, &V)> {
        Merge {
            base: self.base.range(range.clone()).peekable(),
            changes: self.changes.range(range).peekable(),
        }
    }
}

/// Writes changes into their map.
pub(super) fn write<K: Ord, V>(base: &mut BTreeMap<K, V>, changes: Changes<K, V>) {
    for (key, change) in changes {
        match change {
            Some(value) => drop(base.insert(key, value)),
            None => drop(base.remove(&key)),
        }
    }
}

/// The rows of both in order; a changed row replaces the row below it.
struct Merge<'m, K, V, B, C>
where
    B: Iterator<Item = (&'m K, &'m V)>,
    C: Iterator<Item = (&'m K, &'m Option<V>)>,
    K: 'm,
    V: 'm,
{
    base: Peekable<B>,
    changes: Peekable<C>,
}

impl<'m, K, V, B, C> Iterator for Merge<'m, K, V, B, C>
where
    B: Iterator<Item = (&'m K, &'m V)>,
    C: Iterator<Item = (&'m K, &'m Option<V>)>,
    K: Ord,
{
    type Item = (&'m K, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (base, change) = (self.base.peek(), self.changes.peek());
            let changed = match (base, change) {
                (None, None) => return None,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((below, _)), Some((above, _))) => above <= below,
            };
            if !changed {
                return self.base.next();
            }
            let (key, change) = self.changes.next()?;
            self.base.next_if(|(below, _)| *below == key);
            if let Some(value) = change {
                return Some((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_with_changes_hides_the_rows_below() {
        let base = BTreeMap::from([(1, 'a'), (2, 'b'), (4, 'd')]);
        let mut overlay = Overlay::new(&base);
        overlay.remove(&1);
        overlay.insert(2, 'B');
        overlay.insert(3, 'C');
        overlay.insert(5, 'E');
        let rows = |overlay: &Overlay<'_, i32, char>| {
            overlay
                .range(..)
                .map(|(_, value)| *value)
                .collect::<String>()
        };
        assert_eq!(rows(&overlay), "BCdE");
        assert_eq!((overlay.get(&1), overlay.get(&4)), (None, Some(&'d')));
        overlay.remove_range(3..);
        assert_eq!(rows(&overlay), "B");
        let mut written = base.clone();
        write(&mut written, overlay.into_changes());
        assert_eq!(written, BTreeMap::from([(2, 'B')]));
    }
}
