//! What the demo is doing, on the standard error stream.

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Tells each step when it is done, and shows a bar for what takes a while.
pub(super) struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

impl Progress {
    /// `quiet`: the output is for a program.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            quiet,
        }
    }

    /// A step is done.
    pub(super) fn done(&self, text: &str) {
        if !self.quiet {
            self.bars
                .suspend(|| eprintln!("{} {text}", style("✓").green().for_stderr()));
        }
    }

    /// For something that is counted. Nothing is drawn where no terminal is.
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
