//! "Did you mean": the nearest known word.

/// The candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(LENGTH_MAX).collect();
    let b: Vec<char> = b.chars().take(LENGTH_MAX).collect();
    let width = b.len() + 1;
    let mut rows: Vec<usize> = (0..width).collect();
    for (i, left) in a.iter().enumerate() {
        let above = i * width;
        rows.push(i + 1);
        for (j, right) in b.iter().enumerate() {
            let at = |index: usize| rows.get(index).copied().unwrap_or(usize::MAX - 1);
            let substitution = at(above + j) + usize::from(left != right);
            let mut best = (at(above + j + 1) + 1).min(at(above + width + j) + 1).min(substitution);
            let is_swap = i > 0 && j > 0 && a.get(i - 1) == Some(right) && b.get(j - 1) == Some(left);
            if is_swap {
                best = best.min(at(above - width + j - 1) + 1);
            }
            rows.push(best);
        }
    }
    rows.last().copied().unwrap_or_default()
}

const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("hostnme", ["hostname", "port"]), Some("hostname"));
        assert_eq!(nearest("lsiteners", ["listeners", "addresses"]), Some("listeners"));
        assert_eq!(nearest("PathPrefx", ["Exact", "PathPrefix"]), Some("PathPrefix"));
        assert_eq!(nearest("banana", ["listeners", "addresses"]), None);
    }
}
