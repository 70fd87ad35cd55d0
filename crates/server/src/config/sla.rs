//! The section `[sla]`: the uptime target and service credits.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::error::{ConfigError, Errors};
use super::units::{HumanDuration, Percent};
use graceful_rules::sla::{Credit, SlaTerms};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSla {
    pub(super) target: Percent,
    pub(super) credits: Vec<String>,
    pub(super) planned_stop_max: HumanDuration,
    pub(super) reports_max: u32,
}

impl Default for RawSla {
    fn default() -> Self {
        Self {
            target: Percent(99.9),
            credits: Vec::new(),
            planned_stop_max: HumanDuration::from_secs(3_600),
            reports_max: 36,
        }
    }
}

impl RawSla {
    pub(super) fn ranges(&self, check: &Check<'_>, errors: &mut Errors) {
        const WEEK_S: u64 = 7 * 24 * 60 * 60;
        errors.take(check.duration("sla.planned_stop_max", self.planned_stop_max, 0..=WEEK_S));
        errors.take(check.range("sla.reports_max", self.reports_max, 1..=1_200));
    }

    pub(super) fn terms(&self, check: &Check<'_>) -> Result<SlaTerms, ConfigError> {
        let read = |text: &String| {
            credit(text).ok_or_else(|| {
                let text = format!(
                    "has {text:?}; write the uptime below which a credit is due, and the credit, like \
                     \"99.9%: 10%\""
                );
                check.wrong("sla.credits", &text)
            })
        };
        let mut credits = self
            .credits
            .iter()
            .map(read)
            .collect::<Result<Vec<Credit>, _>>()?;
        credits.sort_by(|one, other| one.below_percent.total_cmp(&other.below_percent));
        Ok(SlaTerms {
            target_percent: self.target.0,
            credits,
            planned_stop_max_ms: i64::from(self.planned_stop_max.seconds()) * 1_000,
            reports_max: self.reports_max as usize,
        })
    }
}

/// `99.9%: 10%`.
fn credit(text: &str) -> Option<Credit> {
    let (below, credit) = text.split_once(':')?;
    let percent = |text: &str| text.trim().parse::<Percent>().ok().map(|percent| percent.0);
    Some(Credit {
        below_percent: percent(below)?,
        credit_percent: percent(credit)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_need_two_percentages() {
        let due = credit("99.9%: 10 %").map(|credit| (credit.below_percent, credit.credit_percent));
        assert_eq!(due, Some((99.9, 10.0)));
        for wrong in [
            "", "99%", "99%:", ":5%", "101%:5%", "99%:-1%", "99%;5%", "NaN%:1%", "99.9: 10",
        ] {
            assert!(credit(wrong).is_none(), "{wrong}");
        }
    }
}
