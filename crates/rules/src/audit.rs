//! Audit of stored data: sealed form, padding, randomness and counters. Returns counts, never ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use graceful_protocol::envelope::{FORM, SALT_START, is_padded_size};

use super::randomness::{BYTES_MIN, ByteCounts, chi_square_max, chi_square_min};

/// A part of the store small enough for one scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScanRange {
    /// Envelopes in order of arrival.
    Envelopes {
        /// First arrival number.
        from: u64,
        /// Last arrival number; `None` scans to the newest.
        until: Option<u64>,
    },
    /// Accounts in order of their numbers.
    Accounts {
        /// First account number.
        from: u64,
    },
}

impl ScanRange {
    /// Start of a full audit.
    pub const FIRST: Self = Self::Envelopes {
        from: 0,
        until: None,
    };
}

/// Result of one scan and the range that follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPage {
    /// Counts of this range.
    pub counts: AuditCounts,
    /// Next range; `None` when the audit is complete.
    pub next: Option<ScanRange>,
}

/// Accumulated audit counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Envelopes.
    pub envelopes: u64,
    /// Number of envelopes by size in bytes.
    pub sizes: BTreeMap<u64, u64>,
    /// Accounts.
    pub accounts: u64,
    /// Envelopes that fail decryption at rest or their integrity check.
    pub unreadable: u64,
    /// Envelopes without the sealed form.
    pub unsealed: u64,
    /// Envelopes with a size that padding never produces.
    pub unpadded: u64,
    /// Envelopes whose bytes do not look random.
    pub nonrandom: u64,
    /// Envelopes whose log position disagrees with the index.
    pub misplaced: u64,
    /// Accounts whose counters disagree with their rows.
    pub miscounted: u64,
    /// Byte distribution of all sealed bytes.
    pub bytes: ByteCounts,
}

/// One audited property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name for programs.
    pub name: &'static str,
    /// Whether the property holds.
    pub holds: bool,
    /// Human-readable result.
    pub finding: String,
}

impl AuditCounts {
    /// Adds a readable envelope.
    pub fn add_envelope(&mut self, sealed: &[u8]) {
        self.envelopes += 1;
        *self.sizes.entry(sealed.len() as u64).or_default() += 1;
        self.unsealed += u64::from(sealed.first() != Some(&FORM));
        self.unpadded += u64::from(!is_padded_size(sealed.len()));
        // Form and key epoch are public and nearly constant.
        let bytes = ByteCounts::count(sealed.get(SALT_START..).unwrap_or_default());
        self.nonrandom += u64::from(!bytes.looks_random());
        self.bytes.merge(&bytes);
    }

    /// Adds an unreadable envelope.
    pub fn add_unreadable(&mut self) {
        self.envelopes += 1;
        self.unreadable += 1;
    }

    /// Adds the counts of another range.
    pub fn merge(&mut self, other: &Self) {
        self.envelopes += other.envelopes;
        for (size, count) in &other.sizes {
            *self.sizes.entry(*size).or_default() += count;
        }
        self.accounts += other.accounts;
        self.unreadable += other.unreadable;
        self.unsealed += other.unsealed;
        self.unpadded += other.unpadded;
        self.nonrandom += other.nonrandom;
        self.misplaced += other.misplaced;
        self.miscounted += other.miscounted;
        self.bytes.merge(&other.bytes);
    }

    /// Returns the total size of readable envelopes.
    pub fn envelope_bytes(&self) -> u64 {
        self.sizes.iter().map(|(size, count)| size * count).sum()
    }

    /// Returns the results of all checks.
    pub fn checks(&self) -> Vec<Check> {
        let envelopes = |name, wrong, what| all(name, (wrong, self.envelopes), "envelopes", what);
        vec![
            envelopes("opens", self.unreadable, "pass their integrity check"),
            envelopes("form", self.unsealed, "have the sealed form"),
            envelopes("sizes", self.unpadded, "have one of the padded sizes"),
            envelopes("each", self.nonrandom, "look random individually"),
            self.all_together(),
            envelopes(
                "places",
                self.misplaced,
                "are in the place their index names",
            ),
            all(
                "accounts",
                (self.miscounted, self.accounts),
                "accounts",
                "have correct counters",
            ),
        ]
    }

    fn all_together(&self) -> Check {
        let (low, high) = (chi_square_min(), chi_square_max());
        let chi_square = self.bytes.chi_square();
        let (holds, finding) = if self.bytes.total() < BYTES_MIN {
            (
                true,
                "Too few bytes to test all of them together".to_owned(),
            )
        } else {
            let holds = (low..=high).contains(&chi_square);
            let found = if holds {
                "All together look random"
            } else {
                "All together do not look random"
            };
            let entropy = floor(self.bytes.entropy_bits());
            let detail = format!(
                "chi-square {chi_square:.1}, expected {low:.0} to {high:.0}; {entropy} of 8 bits of \
                 entropy in a byte, at least {} expected",
                floor(self.bytes.entropy_bits_min())
            );
            (holds, format!("{found}: {detail}"))
        };
        Check {
            name: "all",
            holds,
            finding,
        }
    }
}

fn all(name: &'static str, (wrong, of): (u64, u64), things: &str, what: &str) -> Check {
    let finding = match wrong {
        0 => format!("All {things} {what}"),
        some => format!("{some} of {of} {things} do not {what}"),
    };
    Check {
        name,
        holds: wrong == 0,
        finding,
    }
}

/// Rounds down, so that the value shown never exceeds the measured one.
fn floor(bits: f64) -> String {
    format!("{:.6}", (bits * 1e6).floor() / 1e6)
}
