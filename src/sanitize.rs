//! Text that others wrote, made safe to show.

/// Text from another device, made safe to show: it could hold what a terminal obeys.
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
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(
            sanitize("Anna\u{1b}[2J\n\u{9b}K"),
            "Anna\u{fffd}[2J\u{fffd}\u{fffd}K"
        );
        assert_eq!(sanitize("Zoë 📱"), "Zoë 📱");
    }
}
