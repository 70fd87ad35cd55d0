//! The recovery key as a person keeps it: twelve words (BIP39, English: 128 random bits and a
//! checksum of four). Shown once, written down, and kept on no device.

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::keys::{AgreementSecret, DeviceKeys};
use super::rng::{CryptoRng, random};
use super::seal::expand;

const SIGNING: &[u8] = b"graceful-relay/1 recovery signing key\0";
const AGREEMENT: &[u8] = b"graceful-relay/1 recovery agreement key\0";

/// Words of a recovery key.
pub const WORDS: usize = 12;
/// Bytes of what they stand for.
pub const ENTROPY_BYTES: usize = 16;
/// Text longer than this is something else.
const TEXT_BYTES_MAX: usize = 4_096;
/// Letters to change beyond which two words have nothing to do with each other.
const CHANGES_MAX: usize = 2;

/// Whoever has this is an owner of the account: it can add and remove devices, and open every change.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKey([u8; ENTROPY_BYTES]);

/// Why some text is not a recovery key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Too few or too many.
    #[error(
        "a recovery key has {WORDS} words, and these are {0}; look whether one is missing or there twice"
    )]
    Count(usize),
    /// One is no word of the list.
    #[error("word {position}, {word:?}, is none that a recovery key can have{}", did_you_mean(.nearest))]
    Unknown {
        /// From 1 on.
        position: usize,
        /// As it was typed.
        word: String,
        /// What was meant, perhaps.
        nearest: Option<&'static str>,
    },
    /// Each is of the list, but they are not those that were written down.
    #[error(
        "these are all words that a recovery key can have, but not together: one is wrong, or two are swapped; \
         compare each with what was written down"
    )]
    Checksum,
    /// No recovery key is this long.
    #[error("this is longer than a recovery key can be")]
    TooLong,
}

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean {nearest:?}?")
    })
}

impl RecoveryKey {
    /// A fresh one.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self(random(rng))
    }

    /// From the bytes that the words stand for.
    pub const fn from_entropy(entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self(entropy)
    }

    /// To show once, to the person alone: whoever reads them has the account.
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

    /// The key pairs that the words stand for: one signs, secrets are wrapped to the other.
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

/// How many words there are in what was typed so far.
pub fn count(text: &str) -> usize {
    split(text).count()
}

/// Words are what letters there are: numbers, dots, commas and line breaks stand between them.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphabetic())
        .filter(|word| !word.is_empty())
}

/// However it was typed: in any case, over any lines, numbered or not.
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

/// What someone meant who mistyped: the word that needs the fewest changes, if it is near at all.
fn nearest(word: &str) -> Option<&'static str> {
    // A long line without spaces is no word, and would take long to compare.
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

/// Letters to add, drop or replace (Levenshtein), row by row of the usual table.
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

    use super::super::rng::SeededRng;
    use super::*;

    const TEXT: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    fn key() -> RecoveryKey {
        RecoveryKey::from_entropy([0x7f; 16])
    }

    #[test]
    fn words_are_those_of_bip39() {
        assert_eq!(key().words().join(" "), TEXT);
        assert_eq!(TEXT.parse(), Ok(key()));
        let zeros = RecoveryKey::from_entropy([0; 16]);
        assert_eq!(zeros.words().join(" "), "abandon ".repeat(11) + "about");
    }

    #[test]
    fn words_are_taken_however_they_were_typed() {
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
    fn a_mistake_is_named_with_its_place_and_the_nearest_word() {
        let parse = |text: &str| text.parse::<RecoveryKey>().unwrap_err().to_string();
        let error = parse(&TEXT.replacen("sausage", "Sausge", 1));
        assert_eq!(
            error,
            "word 6, \"sausge\", is none that a recovery key can have; did you mean \"sausage\"?"
        );
        let error = parse(&TEXT.replacen("winner", "xxxxxxxxxx", 1));
        assert_eq!(
            error,
            "word 2, \"xxxxxxxxxx\", is none that a recovery key can have"
        );
        let (short, _) = TEXT.rsplit_once(' ').unwrap();
        assert!(parse(short).contains("12 words, and these are 11"));
        assert!(parse(&format!("{TEXT} legal")).contains("these are 13"));
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
        fn any_key_comes_back_from_its_words(seed: u64) {
            let key = RecoveryKey::random(&mut SeededRng(seed));
            prop_assert_eq!(key.words().join("  ").parse(), Ok(key.clone()));
            let keys = key.keys();
            prop_assert_ne!(&keys.signing().to_bytes(), keys.agreement().expose());
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,80}") {
            let _ = text.parse::<RecoveryKey>();
        }
    }
}
