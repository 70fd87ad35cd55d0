//! What was agreed about uptime, and what a month comes to by it.

use serde::{Deserialize, Serialize};

/// A credit for a month that was not as it should have been.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// Where the uptime was below this.
    pub below_percent: f64,
    /// Of what was paid for the month.
    pub credit_percent: f64,
}

/// What was agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaTerms {
    /// Uptime that a month should have.
    pub target_percent: f64,
    /// Credits, for the lowest uptime first.
    pub credits: Vec<Credit>,
    /// How long a planned stop is a planned one.
    pub planned_stop_max_ms: i64,
    /// Months whose reports are kept.
    pub reports_max: usize,
}

impl SlaTerms {
    /// The credit for a month with this uptime: the one for the lowest bound that it stayed below.
    pub fn credit_percent(&self, uptime_percent: f64) -> f64 {
        let due = self
            .credits
            .iter()
            .find(|credit| uptime_percent < credit.below_percent);
        due.map_or(0.0, |credit| credit.credit_percent)
    }
}

/// Reads `"99.9: 10"`: below 99.9 percent of uptime, 10 percent of credit.
pub fn credit(text: &str) -> Option<Credit> {
    let (below, credit) = text.split_once(':')?;
    Some(Credit {
        below_percent: percent(below)?,
        credit_percent: percent(credit)?,
    })
}

/// Reads a percentage, with or without the sign.
pub fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bound_that_was_missed_counts() {
        let credits =
            ["95: 100", "99.0%: 25 %", "99.9:10"].map(|text| credit(text).expect("a credit"));
        let sla_terms = SlaTerms {
            target_percent: 99.9,
            credits: credits.to_vec(),
            planned_stop_max_ms: 0,
            reports_max: 1,
        };
        let due =
            [100.0, 99.9, 99.899, 99.0, 98.9, 94.0].map(|uptime| sla_terms.credit_percent(uptime));
        assert_eq!(due, [0.0, 0.0, 10.0, 10.0, 25.0, 100.0]);
        for wrong in ["", "99", "99:", ":5", "101:5", "99:-1", "99;5", "NaN:1"] {
            assert!(credit(wrong).is_none(), "{wrong}");
        }
    }
}
