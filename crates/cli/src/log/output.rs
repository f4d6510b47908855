//! How a command's result is printed, and its progress shown.

use std::io::{self, BufWriter, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::error::CliError;
use crate::progress::{Progress, Style};

/// Arguments about output.
#[derive(Args, Debug)]
pub(super) struct Output {
    /// How to print.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table)]
    format: Format,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines to read.
    Table,
    /// One JSON object.
    Json,
}

/// What can be printed in every form.
pub(super) trait Report {
    /// Writes it as lines to read.
    fn table(&self, out: &mut dyn Write) -> io::Result<()>;
    /// The same for programs.
    fn json(&self) -> Value;
}

impl Output {
    /// Work named by a verb on `total` bytes.
    pub(super) fn progress(&self, what: &'static str, total: u64) -> Progress {
        Progress::bytes(self.progress, what, total)
    }

    /// Prints to standard output. A reader who has seen enough is no error, as in `… | head`.
    pub(super) fn print(&self, report: &impl Report) -> Result<(), CliError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = match self.format {
            Format::Table => report.table(&mut out),
            Format::Json => writeln!(out, "{}", report.json()),
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::caused("cannot print", &error)),
            _ => Ok(()),
        }
    }
}
