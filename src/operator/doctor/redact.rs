//! Redaction of names, addresses, ids, keys and users' directories.

use std::net::IpAddr;

/// Known private strings and their replacements.
pub(super) struct Redactor(Vec<(String, &'static str)>);

/// Minimum length of what looks like an id, a key or an invitation.
const ID_LETTERS_MIN: usize = 22;

impl Redactor {
    pub(super) fn new(private: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        let mut private: Vec<_> = private
            .into_iter()
            .filter(|(text, _)| text.len() > 2)
            .collect();
        // Longest first: one may contain another.
        private.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self(private)
    }

    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (private, instead) in &self.0 {
            text = text.replace(private, instead);
        }
        tokens(&text)
    }
}

/// Redacts what looks like an address, an id or an e-mail address.
fn tokens(text: &str) -> String {
    let part = |letter: char| letter.is_ascii_alphanumeric() || "-_.:@%[]+=".contains(letter);
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match part(first) {
            true => rest.find(|letter| !part(letter)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(end);
        redacted.push_str(instead(token).unwrap_or(token));
        rest = behind;
    }
    redacted
}

fn instead(token: &str) -> Option<&'static str> {
    let bare = token.trim_matches(|letter| ".:".contains(letter));
    let host = bare.trim_matches(['[', ']']);
    let without_port = bare
        .rsplit_once(':')
        .map_or(bare, |(host, _)| host)
        .trim_matches(['[', ']']);
    if [host, without_port]
        .iter()
        .any(|text| text.parse::<IpAddr>().is_ok())
    {
        return Some("<address>");
    }
    if bare.contains('@') {
        return Some("<mail>");
    }
    let id = |text: &str| {
        let letters = text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_=".contains(letter));
        // Words joined with underscores are option names.
        let mixed = text
            .chars()
            .any(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        letters && mixed && text.len() >= ID_LETTERS_MIN
    };
    id(bare).then_some("<id>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_whose_machine_it_is_goes_and_the_rest_stays() {
        let private = [
            ("relay.example.org".to_owned(), "<name>"),
            ("/home/ann".to_owned(), "<home>"),
        ];
        let redactor = Redactor::new(private);
        let redacted = |text: &str| redactor.redact(text);
        for address in [
            "192.0.2.7",
            "192.0.2.7:443",
            "[2001:db8::1]:443",
            "2001:db8::1",
            "[::1]",
            "fe80::1",
        ] {
            assert_eq!(
                redacted(&format!("leads to {address}, and")),
                "leads to <address>, and",
                "{address}"
            );
        }
        assert_eq!(
            redacted("wss://relay.example.org#AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
            "wss://<name>#<id>"
        );
        assert_eq!(redacted("/home/ann/x ann@example.org"), "<home>/x <mail>");
        let plain = "sync takes 0.25 ms; 2026-11-25 10:00:01 UTC; version 0.1.0; limits.connections_max needs 2064";
        assert_eq!(redacted(plain), plain);
        assert_eq!(
            redacted("per_ip_unauthenticated_max = 10"),
            "per_ip_unauthenticated_max = 10"
        );
    }
}
