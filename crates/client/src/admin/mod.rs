//! What asks about a cluster, and changes it.

mod cluster;
mod configs;
mod each;
mod groups;
mod log_dirs;
mod offsets;
mod quorum;
mod reassignments;
mod routing;
mod topics;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

pub use cluster::{ApiRange, ClusterDescription, DescribedBroker, Feature, FeatureUpdate};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, ResourceKind};
pub use each::Each;
pub use groups::{CommittedOffset, GroupDescription, GroupListing, GroupMember};
pub use log_dirs::{LogDir, LogDirReplica};
pub use offsets::{ListedOffset, OffsetSpec};
pub use quorum::{QuorumDescription, QuorumReplica};
pub use reassignments::{Election, ElectionKind, Reassignment};
pub use topics::{NewTopic, PartitionDescription, TopicDescription, TopicListing};

use crate::ClientError;
use crate::client::Client;
use crate::io::{Deadline, Io};
use crate::pending::Pending;

/// What asks about a cluster, and changes it. Every call gives a [`Pending`] at once, for tasks to await and for threads
/// to wait for.
///
/// Calls about several things answer for each of them, as [`Each`]. They are tried again, within
/// `default.api.timeout.ms`, while brokers cannot be reached or say that another attempt may help. A change whose answer
/// was lost may so be reported as one that had been made before.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
    timeout: Option<Duration>,
}

impl Admin {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client, timeout: None }
    }

    /// The same with another limit on how long a call may take.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    fn call<T, F>(&self, what: &'static str, job: impl FnOnce(Rc<Io>, Deadline) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + 'static,
    {
        self.client.io.call(self.timeout, what, job)
    }

    /// How long a broker may take to carry out a change, in milliseconds.
    fn timeout_ms(&self) -> i32 {
        let timeout = self.timeout.unwrap_or(self.client.config.default_api_timeout);
        i32::try_from(timeout.min(self.client.config.request_timeout).as_millis()).unwrap_or(i32::MAX)
    }
}
