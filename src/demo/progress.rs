//! Progress output of the demo on standard error.

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Prints each completed step and a bar for long ones.
pub(super) struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

impl Progress {
    /// `quiet` disables output, for JSON.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            quiet,
        }
    }

    /// Prints a completed step.
    pub(super) fn done(&self, text: &str) {
        if !self.quiet {
            self.bars
                .suspend(|| eprintln!("{} {text}", style("✓").green().for_stderr()));
        }
    }

    /// Returns a progress bar; hidden without a terminal.
    pub(super) fn bar(&self, label: &'static str, length: u64) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let template = "  {prefix:30} {bar:24.cyan} {human_pos:>7} of {human_len}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars.add(
            ProgressBar::new(length)
                .with_style(style)
                .with_prefix(label),
        )
    }
}
