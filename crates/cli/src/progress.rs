//! How far long work has come, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A bar if standard error is a terminal, else nothing.
    #[default]
    Auto,
    /// One JSON object a line, at most one a second.
    Json,
    /// Nothing.
    None,
}

/// Work on a known number of bytes.
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Json { next: Instant },
    Nothing,
}

impl Progress {
    /// Work named by a verb, such as `verifying`, on `total` bytes.
    pub(crate) fn bytes(style: Style, what: &'static str, total: u64) -> Self {
        let shown = match style {
            Style::Auto if io::stderr().is_terminal() => Shown::Bar(bar(what, total)),
            Style::Json => Shown::Json { next: Instant::now() },
            Style::Auto | Style::None => Shown::Nothing,
        };
        Self { what, total, done: 0, shown }
    }

    /// Takes note of `bytes` more.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &mut self.shown {
            Shown::Bar(bar) => bar.inc(bytes),
            Shown::Json { next } if *next <= Instant::now() => {
                *next = Instant::now() + JSON_INTERVAL;
                self.line();
            }
            Shown::Json { .. } | Shown::Nothing => {}
        }
    }

    /// Ends the work: the bar goes away, a last line says so.
    pub(crate) fn finish(self) {
        match &self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Json { .. } => self.line(),
            Shown::Nothing => {}
        }
    }

    fn line(&self) {
        let line = json!({ "progress": self.what, "bytes": self.done, "total_bytes": self.total });
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is fixed");
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what);
    bar
}

const TEMPLATE: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
const REDRAWS_PER_SECOND: u8 = 10;
const JSON_INTERVAL: Duration = Duration::from_secs(1);
