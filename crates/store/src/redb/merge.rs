//! A merge of several sources in key order. For equal keys the row of the upper source is returned.

use std::iter::Peekable;

use super::memtable::RowKey;
use crate::StoreError;

/// A row of a source; `None`: removed.
type Item<R> = Result<(RowKey, Option<R>), StoreError>;

/// The rows of one memtable or of redb, in order.
pub(crate) struct Source<'a, R>(Peekable<Box<dyn Iterator<Item = Item<R>> + 'a>>);

impl<'a, R> Source<'a, R> {
    pub(crate) fn new(rows: impl Iterator<Item = Item<R>> + 'a) -> Self {
        let rows: Box<dyn Iterator<Item = Item<R>> + 'a> = Box::new(rows);
        Self(rows.peekable())
    }

    /// Returns the key of the next row.
    fn key(&mut self) -> Option<Result<RowKey, ()>> {
        self.0
            .peek()
            .map(|item| item.as_ref().map(|(key, _)| *key).map_err(drop))
    }
}

/// The merged rows. The upper source is the first in the list.
pub(crate) struct Merge<'a, R> {
    sources: Vec<Source<'a, R>>,
    backwards: bool,
}

impl<'a, R> Merge<'a, R> {
    pub(crate) fn new(sources: Vec<Source<'a, R>>, backwards: bool) -> Self {
        Self { sources, backwards }
    }

    /// Returns the next key of all sources.
    fn next_key(&mut self) -> Option<Result<RowKey, StoreError>> {
        let mut next = None::<RowKey>;
        for source in &mut self.sources {
            match source.key() {
                None => {}
                Some(Err(())) => return source.0.next().and_then(Result::err).map(Err),
                Some(Ok(key)) => {
                    let sooner = next.is_none_or(|next| {
                        if self.backwards {
                            key > next
                        } else {
                            key < next
                        }
                    });
                    next = if sooner { Some(key) } else { next };
                }
            }
        }
        next.map(Ok)
    }

    /// Takes the row with a key from every source that has it.
    fn take(&mut self, key: RowKey) -> Option<R> {
        let mut found = None;
        for source in &mut self.sources {
            if source.key() == Some(Ok(key))
                && let Some(Ok((_, row))) = source.0.next()
            {
                found = found.or(Some(row));
            }
        }
        found.flatten()
    }
}

impl<R> Iterator for Merge<'_, R> {
    type Item = Result<(RowKey, R), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match self.next_key()? {
                Ok(key) => key,
                Err(error) => return Some(Err(error)),
            };
            if let Some(row) = self.take(key) {
                return Some(Ok((key, row)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(rows: &[(u8, Option<char>)], backwards: bool) -> Source<'static, char> {
        let mut rows = rows
            .iter()
            .map(|(key, row)| Ok((RowKey::new(&[*key]), *row)))
            .collect::<Vec<_>>();
        if backwards {
            rows.reverse();
        }
        Source::new(rows.into_iter())
    }

    fn merged(backwards: bool) -> String {
        let upper = source(&[(1, None), (3, Some('c')), (5, Some('E'))], backwards);
        let lower = source(
            &[
                (1, Some('a')),
                (2, Some('b')),
                (3, Some('x')),
                (4, Some('d')),
            ],
            backwards,
        );
        let rows = Merge::new(vec![upper, lower], backwards);
        rows.map(|row| row.expect("no error").1).collect()
    }

    #[test]
    fn upper_source_replaces_and_removes_rows() {
        assert_eq!(merged(false), "bcdE");
        assert_eq!(merged(true), "Edcb");
    }

    #[test]
    fn failed_source_fails_the_merge() {
        let poisoned = Source::<char>::new(std::iter::once(Err(StoreError::Corrupted)));
        let mut rows = Merge::new(vec![source(&[(1, Some('a'))], false), poisoned], false);
        assert!(matches!(rows.next(), Some(Err(StoreError::Corrupted))));
    }
}
