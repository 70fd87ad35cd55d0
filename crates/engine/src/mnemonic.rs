//! The recovery phrase: the recovery key as twelve BIP-39 words (English, 128 random bits and a
//! 4-bit checksum). It is shown once and stored on no device.

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::keys::{AgreementSecret, DeviceKeys};
use crate::rng::{CryptoRng, random};
use crate::seal::expand;

const SIGNING: &[u8] = b"graceful-relay/1 recovery signing key\0";
const AGREEMENT: &[u8] = b"graceful-relay/1 recovery agreement key\0";

/// Number of words.
pub const WORDS: usize = 12;
/// Bytes of entropy in the words.
pub const ENTROPY_BYTES: usize = 16;
/// Longest text that is parsed.
const TEXT_BYTES_MAX: usize = 4_096;
/// Largest edit distance of a suggestion.
const CHANGES_MAX: usize = 2;

/// The recovery key. Its holder owns the account: it can add and remove devices and decrypt every
/// change.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKey([u8; ENTROPY_BYTES]);

/// Why a text is not a recovery phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// The number of words is wrong.
    #[error(
        "recovery phrase has {0} words instead of {WORDS}; check for missing or repeated words"
    )]
    Count(usize),
    /// A word is not in the word list.
    #[error("word {position}, {word:?}, is not in the word list{}", did_you_mean(.nearest))]
    Unknown {
        /// Position, counted from 1.
        position: usize,
        /// The word as typed.
        word: String,
        /// The closest word of the list.
        nearest: Option<&'static str>,
    },
    /// The checksum does not match.
    #[error(
        "recovery phrase failed its checksum: a word is wrong or two are swapped; \
         compare each with your note"
    )]
    Checksum,
    /// The text is too long.
    #[error("recovery phrase is too long")]
    TooLong,
}

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean {nearest:?}?")
    })
}

impl RecoveryKey {
    /// Generates a fresh key.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self(random(rng))
    }

    /// Creates a key from its entropy.
    pub const fn from_entropy(entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self(entropy)
    }

    /// Returns the words. Show them once, only to the owner.
    ///
    /// # Panics
    /// Never: any 16 bytes are twelve words.
    pub fn words(&self) -> [&'static str; WORDS] {
        let words =
            Mnemonic::from_entropy_in(Language::English, &self.0).expect("16 bytes are 12 words");
        let mut all = [""; WORDS];
        for (place, word) in all.iter_mut().zip(words.words()) {
            *place = word;
        }
        all
    }

    /// Derives the signing and agreement key pairs.
    pub fn keys(&self) -> DeviceKeys {
        let agreement = expand::<32>(&self.0, b"", AGREEMENT);
        DeviceKeys::new(
            &expand(&self.0, b"", SIGNING),
            AgreementSecret::new(*agreement),
        )
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

/// Counts the words in a text.
pub fn count(text: &str) -> usize {
    split(text).count()
}

/// Splits at anything but letters: numbers, dots, commas and line breaks separate words.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphabetic())
        .filter(|word| !word.is_empty())
}

/// Accepts any case, line breaks and numbering.
impl FromStr for RecoveryKey {
    type Err = MnemonicError;

    fn from_str(text: &str) -> Result<Self, MnemonicError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(MnemonicError::TooLong);
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let words = Zeroizing::new(split(&lower).collect::<Vec<_>>().join(" "));
        for (position, word) in (1..).zip(split(&words)) {
            if Language::English.find_word(word).is_none() {
                return Err(MnemonicError::Unknown {
                    position,
                    word: word.to_owned(),
                    nearest: nearest(word),
                });
            }
        }
        let found = count(&words);
        if found != WORDS {
            return Err(MnemonicError::Count(found));
        }
        let words = Mnemonic::parse_in_normalized(Language::English, &words)
            .map_err(|_| MnemonicError::Checksum)?;
        let (entropy, _) = words.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        Ok(Self(*entropy.first_chunk().expect("12 words are 16 bytes")))
    }
}

/// Returns the closest word of the list, if it is close.
fn nearest(word: &str) -> Option<&'static str> {
    // Longer input is no word and would be slow to compare.
    if word.len() > 16 {
        return None;
    }
    let distances = Language::English
        .word_list()
        .iter()
        .map(|known| (changes(word, known), *known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= CHANGES_MAX && distance < known.len().min(word.len())).then_some(known)
}

/// The Levenshtein distance, row by row.
fn changes(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in (1..).zip(to.chars()) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column];
            row[column] = replaced.min(row[column - 1] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SeededRng;

    const TEXT: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    fn key() -> RecoveryKey {
        RecoveryKey::from_entropy([0x7f; 16])
    }

    #[test]
    fn mnemonic_matches_bip39() {
        assert_eq!(key().words().join(" "), TEXT);
        assert_eq!(TEXT.parse(), Ok(key()));
        let zeros = RecoveryKey::from_entropy([0; 16]);
        assert_eq!(zeros.words().join(" "), "abandon ".repeat(11) + "about");
    }

    #[test]
    fn mnemonic_parses_any_case_and_layout() {
        let numbered: String = (1..)
            .zip(key().words())
            .map(|(number, word)| format!(" {number:2}. {word}\r\n"))
            .collect();
        for text in [
            TEXT.to_uppercase(),
            TEXT.replace(' ', "\n\n  "),
            numbered.clone(),
            numbered.replace(". ", ")").replace("\r\n", "\t"),
            format!("  {}, ", TEXT.replace(' ', ", ")),
            format!("\u{feff}{}\u{200b}", TEXT.replace(' ', "\u{a0}")),
        ] {
            assert_eq!(text.parse(), Ok(key()), "{text:?}");
        }
    }

    #[test]
    fn mnemonic_error_names_position_and_nearest_word() {
        let parse = |text: &str| text.parse::<RecoveryKey>().unwrap_err().to_string();
        let error = parse(&TEXT.replacen("sausage", "Sausge", 1));
        assert_eq!(
            error,
            "word 6, \"sausge\", is not in the word list; did you mean \"sausage\"?"
        );
        let error = parse(&TEXT.replacen("winner", "xxxxxxxxxx", 1));
        assert_eq!(error, "word 2, \"xxxxxxxxxx\", is not in the word list");
        let (short, _) = TEXT.rsplit_once(' ').unwrap();
        assert!(parse(short).contains("11 words instead of 12"));
        assert!(parse(&format!("{TEXT} legal")).contains("13 words instead of 12"));
        assert_eq!("".parse::<RecoveryKey>(), Err(MnemonicError::Count(0)));
        let swapped = TEXT.replacen("legal winner", "winner legal", 1);
        assert_eq!(swapped.parse::<RecoveryKey>(), Err(MnemonicError::Checksum));
        assert_eq!(
            "legal ".repeat(1_000).parse::<RecoveryKey>(),
            Err(MnemonicError::TooLong)
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", key()), "RecoveryKey(…)");
    }

    proptest! {
        #[test]
        fn mnemonic_round_trips(seed: u64) {
            let key = RecoveryKey::random(&mut SeededRng(seed));
            prop_assert_eq!(key.words().join("  ").parse(), Ok(key.clone()));
            let keys = key.keys();
            prop_assert_ne!(&keys.signing().to_bytes(), keys.agreement().expose());
        }

        #[test]
        fn parse_arbitrary_text_never_panics(text in ".{0,80}") {
            let _ = text.parse::<RecoveryKey>();
        }
    }
}
