//! What to start.

use std::collections::BTreeMap;

use crate::embedded::EmbeddedBroker;
use crate::error::KitError;
use crate::storage::Storage;
use crate::topic::NewTopic;

/// What to start: one node without topics, if nothing else is said.
///
/// ```
/// use highwater_testkit::{EmbeddedBroker, Storage};
///
/// let broker = EmbeddedBroker::builder()
///     .topic("orders", 6)
///     .storage(Storage::Memory)
///     .set("auto.create.topics.enable", "false")
///     .start()?;
/// assert_eq!(broker.partitions("orders"), Some(6));
/// # Ok::<(), highwater_testkit::KitError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) nodes: u32,
    pub(crate) topics: Vec<NewTopic>,
    pub(crate) storage: Storage,
    pub(crate) set: BTreeMap<String, String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { nodes: 1, topics: Vec::new(), storage: Storage::default(), set: BTreeMap::new() }
    }
}

impl Builder {
    /// How many nodes, numbered from 1; all in this process, each with a port of its own. At most 9. Of three or more the
    /// first three are controllers too, of two the first.
    #[must_use]
    pub fn nodes(self, count: u32) -> Self {
        Self { nodes: count, ..self }
    }

    /// Makes a topic with this many partitions, and three replicas of each where there are as many nodes.
    #[must_use]
    pub fn topic(self, name: impl Into<String>, partitions: u32) -> Self {
        self.topic_with(NewTopic::new(name).partitions(partitions))
    }

    /// Makes a topic with configs or another number of replicas.
    #[must_use]
    pub fn topic_with(mut self, topic: NewTopic) -> Self {
        self.topics.push(topic);
        self
    }

    /// Where the data is.
    #[must_use]
    pub fn storage(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// Sets a key of Kafka's `server.properties` on every node. Checked at the start.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set.insert(key.into(), value.into());
        self
    }

    /// Starts the nodes, waits until all serve clients, and makes the topics.
    ///
    /// # Errors
    ///
    /// [`KitError`] if a key is unknown or its value wrong, the system refuses a directory, a port or a thread, or a topic
    /// is refused. Nothing is left running then.
    pub fn start(self) -> Result<EmbeddedBroker, KitError> {
        EmbeddedBroker::start_as(&self)
    }
}
