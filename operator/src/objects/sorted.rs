//! Look-ups in a sorted sequence by keys that come in the same order: one pass in place of a search for each.

use std::cmp::Ordering;
use std::iter::Peekable;

/// A sorted sequence that is walked once.
pub struct Sorted<I: Iterator> {
    rest: Peekable<I>,
}

// === impl Sorted ===

impl<I: Iterator> Sorted<I> {
    /// Walks pairs of keys and values in the order of their keys.
    pub fn new(pairs: impl IntoIterator<IntoIter = I>) -> Self {
        Self { rest: pairs.into_iter().peekable() }
    }
}

impl<K: Ord, V, I: Iterator<Item = (K, V)>> Sorted<I> {
    /// The value of a key; keys have to be asked for in ascending order.
    pub fn take(&mut self, key: &K) -> Option<V> {
        loop {
            match self.rest.peek()?.0.cmp(key) {
                Ordering::Less => drop(self.rest.next()),
                Ordering::Equal => return self.rest.next().map(|(_, value)| value),
                Ordering::Greater => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there() {
        let mut sorted = Sorted::new([(1, 'a'), (3, 'c'), (4, 'd'), (9, 'i')]);
        let found: Vec<Option<char>> = [0, 1, 2, 4, 8, 9, 10].iter().map(|key| sorted.take(key)).collect();
        assert_eq!(found, [None, Some('a'), None, Some('d'), None, Some('i'), None]);
    }
}
