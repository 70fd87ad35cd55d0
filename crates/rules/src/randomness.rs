//! Chi-square test for random bytes. Ciphertext passes; text, numbers and most other data fail.

use serde::{Deserialize, Serialize};

/// Number of occurrences of each byte value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts(Vec<u64>);

/// Number of byte values.
const VALUES: usize = 256;

/// Minimum sample: the test needs an expected count of five for each value.
pub const BYTES_MIN: u64 = 5 * VALUES as u64;

/// Limit for all bytes together: random data exceeds it on one side once in 10^9.
const DEVIATIONS_ALL: f64 = 6.0;

/// Limit for a single envelope: with many millions tested, none may raise a false alarm. The
/// smallest have about 370 bytes, where the tail is thicker: 1 in 10^16 exceeds it.
const DEVIATIONS_EACH: f64 = 10.0;

impl Default for ByteCounts {
    fn default() -> Self {
        Self(vec![0; VALUES])
    }
}

impl ByteCounts {
    /// Counts the bytes of a slice.
    pub fn count(bytes: &[u8]) -> Self {
        let mut counts = Self::default();
        for byte in bytes {
            counts.0[usize::from(*byte)] += 1;
        }
        counts
    }

    /// Adds other counts.
    pub fn merge(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(&others.0) {
            *count += other;
        }
    }

    /// Returns the number of bytes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns chi-square: about 255 for random bytes, more for uneven ones.
    pub fn chi_square(&self) -> f64 {
        let total = self.total() as f64;
        if total == 0.0 {
            return 0.0;
        }
        let expected = total / VALUES as f64;
        self.0
            .iter()
            .map(|count| (*count as f64 - expected).powi(2) / expected)
            .sum()
    }

    /// Returns Shannon entropy in bits per byte: 8 for random bytes.
    pub fn entropy_bits(&self) -> f64 {
        let total = self.total() as f64;
        let shares = self
            .0
            .iter()
            .filter(|count| **count > 0)
            .map(|count| *count as f64 / total);
        shares.map(|share| -share * share.log2()).sum()
    }

    /// Returns the lowest entropy of random data of this length; less would exceed
    /// [`chi_square_max`].
    pub fn entropy_bits_min(&self) -> f64 {
        8.0 - chi_square_max() / (2.0 * self.total() as f64 * std::f64::consts::LN_2)
    }

    /// Returns whether the bytes of one envelope look random.
    pub fn looks_random(&self) -> bool {
        self.chi_square() <= limit(DEVIATIONS_EACH)
    }
}

/// Returns the lower limit for all bytes: a distribution too even is not random either.
pub fn chi_square_min() -> f64 {
    limit(-DEVIATIONS_ALL)
}

/// Returns the upper limit for all bytes.
pub fn chi_square_max() -> f64 {
    limit(DEVIATIONS_ALL)
}

/// Returns chi-square at this many standard deviations (Wilson and Hilferty's cube root),
/// independent of the sample size.
fn limit(deviations: f64) -> f64 {
    let freedom = (VALUES - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + deviations * spread.sqrt()).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn chance(length: usize, seed: u64) -> Vec<u8> {
        let blocks = (0_u64..)
            .flat_map(|block| Sha256::digest([seed, block].map(u64::to_be_bytes).concat()));
        blocks.take(length).collect()
    }

    fn repeated(text: &[u8], length: usize) -> Vec<u8> {
        text.iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn chi_square_limits_match_tables() {
        // The middle and the 99.9th percentile of chi-square with 255 degrees of freedom.
        assert!((limit(0.0) - 254.33).abs() < 0.01, "{}", limit(0.0));
        assert!((limit(3.0902) - 330.52).abs() < 0.2, "{}", limit(3.0902));
    }

    #[test]
    fn random_bytes_of_every_size_pass() {
        for (seed, length) in (0_u64..).zip([363, 576, 1_280, 20_000, 1_000_000].repeat(20)) {
            let counts = ByteCounts::count(&chance(length, seed));
            assert!(counts.looks_random(), "{length}: {}", counts.chi_square());
            let all = chi_square_min()..chi_square_max();
            assert!(
                length < 1_280 || all.contains(&counts.chi_square()),
                "{length}: {}",
                counts.chi_square()
            );
            assert!(
                length < 1_280 || counts.entropy_bits() > counts.entropy_bits_min(),
                "{length}"
            );
        }
    }

    #[test]
    fn text_and_base64_fail_at_smallest_size() {
        let base64 =
            b"QUFBQkJCQ0NDREREZWVlZmZmZ2dnaGhoYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU2Nzg5Ky8";
        for text in [
            &br#"{"id":"c17","amount": 17.50,"payee":"Corner Bakery Weiss"}"#[..],
            b"0123456789",
            base64,
        ] {
            let counts = ByteCounts::count(&repeated(text, 363));
            assert!(!counts.looks_random(), "{}", counts.chi_square());
        }
    }

    #[test]
    fn constant_byte_and_even_spread_fail_whole_test() {
        let mut all = ByteCounts::default();
        for seed in 0..3_000 {
            let mut one = chance(576, seed);
            one[0] = 1;
            all.merge(&ByteCounts::count(&one));
        }
        assert!(all.chi_square() > chi_square_max(), "{}", all.chi_square());
        let even = ByteCounts::count(&(0..=255).cycle().take(100_000).collect::<Vec<u8>>());
        assert!(even.chi_square() < chi_square_min());
    }
}
