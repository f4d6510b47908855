//! Running a broker until a signal ends it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

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
    announce_when_ready(config, &broker)
        .map_err(|error| CliError::caused("cannot say where the broker listens", &error))?;

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

/// A broker of a cluster is ready when the others have let it in, for which it may have to wait.
fn announce_when_ready(config: &BrokerConfig, broker: &Broker) -> io::Result<()> {
    let address = broker.local_addr();
    if broker.is_ready() || !config.roles.broker {
        return announce(address);
    }
    let readiness = broker.readiness();
    // Ends with the process.
    std::thread::Builder::new().name("announce".into()).spawn(move || {
        while !readiness.wait(Duration::from_secs(30)) {
            tracing::warn!("waiting for the cluster to let this broker in: is a majority of the controllers up?");
        }
        // If standard output is closed there is nobody to tell.
        let _ = announce(address);
    })?;
    Ok(())
}

fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {address}")?;
    out.flush()
}

fn tell(notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!("{notice}");
    } else {
        tracing::info!("{notice}");
    }
}
