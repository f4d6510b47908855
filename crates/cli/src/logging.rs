//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// Sends log lines to standard error; `HIGHWATER_LOG` chooses which (for example `debug`), by default `info` and above.
///
/// Under systemd's journal, which stamps lines itself, they carry no time.
pub(crate) fn start() {
    start_at("info");
}

/// Sends everything that the client does to standard error, unless `HIGHWATER_LOG` chooses otherwise.
pub(crate) fn start_debug() {
    start_at("info,highwater_client=trace");
}

fn start_at(default: &str) {
    let filter = EnvFilter::try_from_env("HIGHWATER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().init();
    } else {
        lines.with_timer(SystemTime).init();
    }
}
