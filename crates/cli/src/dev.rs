//! `highwater dev`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use highwater_broker::BrokerConfig;

use crate::error::CliError;
use crate::{dev_cluster, logging, serving};

/// Arguments of `highwater dev`.
#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Nodes, each a process of its own, on ports from --port on.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Directory for all data, made and formatted if need be; without it, a temporary one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Dev {
    /// Runs the nodes until a signal comes.
    pub(crate) fn run(self) -> Result<(), CliError> {
        logging::start();
        if let Some(data) = &self.data {
            return self.serve(data);
        }
        let data = tempfile::Builder::new()
            .prefix("highwater-dev-")
            .tempdir()
            .map_err(|error| CliError::caused("cannot make a temporary directory", &error))?;
        let served = self.serve(data.path());
        // Even after a failure; and a failure to remove is told only if there is nothing worse to tell.
        let path = data.path().display().to_string();
        let removed = data.close();
        served.and_then(|()| removed.map_err(|error| CliError::caused(format!("cannot remove {path}"), &error)))
    }

    fn serve(&self, data: &Path) -> Result<(), CliError> {
        if 1 < self.nodes {
            return dev_cluster::run(self.nodes, self.port, data);
        }
        let listener = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let settings = BTreeMap::from([
            ("listeners".to_owned(), listener),
            ("log.dirs".to_owned(), data.display().to_string()),
            ("offsets.topic.replication.factor".to_owned(), "1".to_owned()),
            // As in the file that comes with Kafka: whoever develops starts one consumer at a time.
            ("group.initial.rebalance.delay.ms".to_owned(), "0".to_owned()),
            ("transaction.state.log.replication.factor".to_owned(), "1".to_owned()),
            ("transaction.state.log.min.isr".to_owned(), "1".to_owned()),
        ]);
        let mut config =
            BrokerConfig::new(settings).map_err(|error| CliError::caused("these arguments cannot be used", &error))?;
        // As it is, not as text, in which a comma would divide it.
        config.log_dirs = vec![data.to_owned()];
        config.metadata_log_dir = data.to_owned();
        serving::run(&config, &format!("cannot serve on 127.0.0.1:{} with data in {}", self.port, data.display()))
    }
}
