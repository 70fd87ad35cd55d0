//! What someone meant who mistyped: the known word that needs the fewest changes.

/// Changes beyond which two words have nothing to do with each other.
const CHANGES_MAX: usize = 3;

/// The nearest of `known`, if it is near at all.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distances = known
        .into_iter()
        .map(|candidate| (changes(&word, &candidate.to_lowercase()), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= CHANGES_MAX && distance < candidate.chars().count()).then_some(candidate)
}

/// Letters to add, drop or replace (Levenshtein), row by row of the usual table.
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
    fn a_slip_of_the_finger_is_understood() {
        let known = ["listen", "names", "folder"];
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("Name", known), Some("names"));
        assert_eq!(nearest("certificate", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn changes_are_counted_as_levenshtein_did() {
        assert_eq!(changes("kitten", "sitting"), 3);
        assert_eq!(changes("", "abc"), 3);
        assert_eq!(changes("same", "same"), 0);
    }
}
