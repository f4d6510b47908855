//! Running a broker until a signal ends it.

use std::io::{self, Write};

use highwater_broker::config::Notice;
use highwater_broker::{Broker, BrokerConfig};

use crate::error::CliError;
use crate::signals::EndSignals;

/// Starts a broker, prints `ready ADDRESS` once it serves, and stops it cleanly on SIGTERM or SIGINT.
///
/// A second signal ends the process at once. `what` is how an error begins.
pub(crate) fn run(config: &BrokerConfig, what: &str) -> Result<(), CliError> {
    config.notices.iter().for_each(tell);
    let signals = EndSignals::block().map_err(|errno| CliError::caused("cannot prepare for signals", &errno))?;
    let broker = Broker::start(config).map_err(|error| CliError::caused(what, &error))?;
    announce(&broker).map_err(|error| CliError::caused("cannot say where the broker listens", &error))?;

    let signal = signals
        .wait_while(|| broker.failure().is_none())
        .map_err(|errno| CliError::caused("cannot wait for signals", &errno))?;
    if let Some(signal) = signal {
        tracing::info!(signal, "stopping");
    }
    signals.end_at_the_next();
    let failure = broker.failure();
    broker.shutdown();
    match failure {
        None => Ok(()),
        Some(error) => Err(CliError::caused("the broker had to stop", &error)
            .hint("look at the log lines above for the file, repair or replace the disk, and start again")),
    }
}

fn announce(broker: &Broker) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {}", broker.local_addr())?;
    out.flush()
}

fn tell(notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!("{notice}");
    } else {
        tracing::info!("{notice}");
    }
}
