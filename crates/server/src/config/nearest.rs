//! The known word nearest to a mistyped one.

/// Maximum edit distance of a suggestion.
const CHANGES_MAX: usize = 3;

/// The nearest word of `known`, if one is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distances = known
        .into_iter()
        .map(|candidate| (changes(&word, &candidate.to_lowercase()), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= CHANGES_MAX && distance < candidate.chars().count()).then_some(candidate)
}

/// The Levenshtein distance, row by row.
fn changes(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typo_finds_the_known_word() {
        let known = ["listen", "domains", "region"];
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("Domain", known), Some("domains"));
        assert_eq!(nearest("certificate", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn changes_match_levenshtein_distances() {
        assert_eq!(changes("kitten", "sitting"), 3);
        assert_eq!(changes("", "abc"), 3);
        assert_eq!(changes("same", "same"), 0);
    }
}
