//! Untrusted text for a terminal.

/// Replaces control characters, which could contain terminal escape sequences.
pub(super) fn sanitize(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(
            sanitize("Anna\u{1b}[2J\n\u{9b}K"),
            "Anna\u{fffd}[2J\u{fffd}\u{fffd}K"
        );
        assert_eq!(sanitize("Zoë 📱"), "Zoë 📱");
    }
}
