//! What was agreed about uptime.

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::raw::Raw;
use super::validate::Check;
use graceful_rules::sla::{Credit, SlaTerms, credit, percent};

/// The section as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSla {
    /// As text, for a number would be read as something near it.
    pub(super) target_percent: String,
    pub(super) credits: Vec<String>,
    pub(super) planned_stop_max_min: u32,
    pub(super) reports_max: u32,
}

impl Default for RawSla {
    fn default() -> Self {
        Self {
            target_percent: "99.9".to_owned(),
            credits: Vec::new(),
            planned_stop_max_min: 60,
            reports_max: 36,
        }
    }
}

impl Check<'_> {
    pub(super) fn sla(&self, raw: &Raw) -> Result<SlaTerms, ConfigError> {
        let written = &raw.sla;
        let target_percent = percent(&written.target_percent).ok_or_else(|| {
            let text = format!(
                "is {:?}; it must be a percentage in quotes, like \"99.9\"",
                written.target_percent
            );
            self.wrong("sla.target_percent", &text)
        })?;
        let read = |text: &String| {
            credit(text).ok_or_else(|| {
                let text = format!(
                    "has {text:?}; write the uptime below which it is due, and the credit, in percent, like \
                     \"99.9: 10\""
                );
                self.wrong("sla.credits", &text)
            })
        };
        let mut credits = written
            .credits
            .iter()
            .map(read)
            .collect::<Result<Vec<Credit>, _>>()?;
        credits.sort_by(|one, other| one.below_percent.total_cmp(&other.below_percent));
        self.range(
            "sla.planned_stop_max_min",
            written.planned_stop_max_min,
            0..=10_080,
        )?;
        self.range("sla.reports_max", written.reports_max, 1..=1_200)?;
        Ok(SlaTerms {
            target_percent,
            credits,
            planned_stop_max_ms: i64::from(written.planned_stop_max_min) * 60_000,
            reports_max: written.reports_max as usize,
        })
    }
}
