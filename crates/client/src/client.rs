//! A client of a cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::Admin;
use crate::config::ClientConfig;
use crate::io::IoHandle;
use crate::pending::Pending;
use crate::{ClientError, ConfigError};

/// A client of one cluster: its connections, and the thread that they belong to.
///
/// Cheap to clone; all clones, and the producers, consumers and admins made from them, share the thread. It ends when the
/// last of them is dropped, and dropping never blocks.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) io: IoHandle,
    pub(crate) life: Arc<Life>,
    pub(crate) config: Arc<ClientConfig>,
}

/// While somebody has it the thread goes on.
#[derive(Debug)]
pub(crate) struct Life(IoHandle);

impl Drop for Life {
    fn drop(&mut self) {
        // Nobody waits for it.
        drop(self.0.stop());
    }
}

impl Client {
    /// A client that finds its cluster at `bootstrap_servers`: `host:port`, several of them with commas. Connects when it
    /// has something to ask.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] if that is not what they are, [`ClientError::Connect`] if the system has no thread or
    /// descriptor left.
    pub fn new(bootstrap_servers: &str) -> Result<Self, ClientError> {
        let mut config = ClientConfig::default();
        config.set("bootstrap.servers", bootstrap_servers)?;
        Self::with_config(config)
    }

    /// The same with a configuration of one's own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_config(config: ClientConfig) -> Result<Self, ClientError> {
        let config = config.check()?;
        let io = IoHandle::start(config.clone()).map_err(|source| ClientError::Connect {
            address: config.bootstrap_servers.join(","),
            source: Arc::new(source),
        })?;
        Ok(Self { life: Arc::new(Life(io.clone())), io, config: Arc::new(config) })
    }

    /// A client with configs by Kafka's names.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and for a key that is not a client's.
    pub fn from_properties<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ClientError> {
        let mut config = ClientConfig::default();
        properties
            .into_iter()
            .try_for_each(|(key, value)| config.set(key, value))
            .map_err(|error: ConfigError| error)?;
        Self::with_config(config)
    }

    /// How it reaches its cluster.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// What asks about the cluster, and changes it.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// Ends the thread, and everything that is under way in all clones: whatever waits is told [`ClientError::Closed`].
    /// Waits for that, at most for `timeout`; the thread is not known to have ended if that was too short.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] if it took longer.
    pub fn close(self, timeout: Duration) -> Result<(), ClientError> {
        match self.io.stop().wait_for(timeout) {
            // Closed before.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(pending) => {
                drop::<Pending<()>>(pending);
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                Err(ClientError::Timeout { what: "closing the client".to_owned(), timeout_ms, last: None })
            }
        }
    }
}
