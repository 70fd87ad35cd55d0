//! SLA terms: uptime target and service credits.

use serde::{Deserialize, Serialize};

/// A service credit for a month below a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// Upper bound of uptime, exclusive.
    pub below_percent: f64,
    /// Credit in percent of the monthly fee.
    pub credit_percent: f64,
}

/// The terms of an SLA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaTerms {
    /// Monthly uptime target.
    pub target_percent: f64,
    /// Credits in ascending order of uptime.
    pub credits: Vec<Credit>,
    /// Longest planned stop that does not count as downtime.
    pub planned_stop_max_ms: i64,
    /// Number of monthly reports to retain.
    pub reports_max: usize,
}

impl SlaTerms {
    /// Returns the credit due for this uptime: that of the lowest bound not reached.
    pub fn credit_percent(&self, uptime_percent: f64) -> f64 {
        let due = self
            .credits
            .iter()
            .find(|credit| uptime_percent < credit.below_percent);
        due.map_or(0.0, |credit| credit.credit_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sla_credit_uses_lowest_missed_bound() {
        let credits = [(95.0, 100.0), (99.0, 25.0), (99.9, 10.0)].map(|(below, credit)| Credit {
            below_percent: below,
            credit_percent: credit,
        });
        let sla_terms = SlaTerms {
            target_percent: 99.9,
            credits: credits.to_vec(),
            planned_stop_max_ms: 0,
            reports_max: 1,
        };
        let due =
            [100.0, 99.9, 99.899, 99.0, 98.9, 94.0].map(|uptime| sla_terms.credit_percent(uptime));
        assert_eq!(due, [0.0, 0.0, 10.0, 10.0, 25.0, 100.0]);
    }
}
