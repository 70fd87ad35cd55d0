//! Whether what is kept is what a relay should keep: judged on each envelope as it opens at rest, and
//! on each account's counters. Numbers come of it, and no name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use graceful_protocol::envelope::{FORM, SALT_START, is_padded_size};

use super::randomness::{BYTES_MIN, ByteCounts, chi_square_max, chi_square_min};

/// A part of the store, small enough to be looked at in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScanRange {
    /// Envelopes in order of arrival.
    Envelopes {
        /// The first.
        from: u64,
        /// The last; none: the newest there is.
        until: Option<u64>,
    },
    /// Accounts in order of their numbers.
    Accounts {
        /// The first.
        from: u64,
    },
}

impl ScanRange {
    /// Where to begin.
    pub const FIRST: Self = Self::Envelopes {
        from: 0,
        until: None,
    };
}

/// What was found in one part, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPage {
    /// What was found.
    pub counts: AuditCounts,
    /// What to look at next; none: that was all.
    pub next: Option<ScanRange>,
}

/// What was found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Envelopes.
    pub envelopes: u64,
    /// How many there are of each size.
    pub sizes: BTreeMap<u64, u64>,
    /// Accounts.
    pub accounts: u64,
    /// Envelopes that do not open as they were kept.
    pub unreadable: u64,
    /// That do not begin as sealed ones do.
    pub unsealed: u64,
    /// That have a size to which none is padded.
    pub unpadded: u64,
    /// That do not look like chance.
    pub nonrandom: u64,
    /// That their account's log does not have in the same place.
    pub misplaced: u64,
    /// Accounts whose counters say something else than their rows.
    pub miscounted: u64,
    /// All sealed bytes.
    pub bytes: ByteCounts,
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, for programs.
    pub name: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was found, in words.
    pub finding: String,
}

impl AuditCounts {
    /// One envelope, as it opened.
    pub fn add_envelope(&mut self, sealed: &[u8]) {
        self.envelopes += 1;
        *self.sizes.entry(sealed.len() as u64).or_default() += 1;
        self.unsealed += u64::from(sealed.first() != Some(&FORM));
        self.unpadded += u64::from(!is_padded_size(sealed.len()));
        // Form and key epoch are no secret, and much the same in all.
        let bytes = ByteCounts::count(sealed.get(SALT_START..).unwrap_or_default());
        self.nonrandom += u64::from(!bytes.looks_random());
        self.bytes.merge(&bytes);
    }

    /// One that does not open.
    pub fn add_unreadable(&mut self) {
        self.envelopes += 1;
        self.unreadable += 1;
    }

    /// Counts in what was found elsewhere.
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

    /// Bytes of all envelopes that open.
    pub fn envelope_bytes(&self) -> u64 {
        self.sizes.iter().map(|(size, count)| size * count).sum()
    }

    /// Everything that must hold.
    pub fn checks(&self) -> Vec<Check> {
        let envelopes = |name, wrong, what| all(name, (wrong, self.envelopes), "envelopes", what);
        vec![
            envelopes("opens", self.unreadable, "open as they were kept"),
            envelopes("form", self.unsealed, "begin as sealed ones do"),
            envelopes("sizes", self.unpadded, "have one of the padded sizes"),
            envelopes("each", self.nonrandom, "look like chance, each alone"),
            self.all_together(),
            envelopes(
                "places",
                self.misplaced,
                "lie where their accounts' logs say",
            ),
            all(
                "accounts",
                (self.miscounted, self.accounts),
                "accounts",
                "count what is kept for them",
            ),
        ]
    }

    fn all_together(&self) -> Check {
        let (low, high) = (chi_square_min(), chi_square_max());
        let chi_square = self.bytes.chi_square();
        let (holds, finding) = if self.bytes.total() < BYTES_MIN {
            (
                true,
                "Too few bytes to judge all of them together".to_owned(),
            )
        } else {
            let holds = (low..=high).contains(&chi_square);
            let found = if holds {
                "All together look like chance"
            } else {
                "All together do not look like chance"
            };
            let entropy = floor(self.bytes.entropy_bits());
            let detail = format!(
                "chi-square {chi_square:.1}, which chance keeps from {low:.0} to {high:.0}; {entropy} of 8 bits of \
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

/// Never shown as more than it is.
fn floor(bits: f64) -> String {
    format!("{:.6}", (bits * 1e6).floor() / 1e6)
}
