//! Topics to be made.

/// A topic to be made. What is not said is as the broker's configuration has it.
///
/// ```
/// use highwater_testkit::{EmbeddedBroker, NewTopic};
///
/// let orders = NewTopic::new("orders").partitions(6).config("cleanup.policy", "compact");
/// let broker = EmbeddedBroker::builder().topic_with(orders).start()?;
/// assert_eq!(broker.partitions("orders"), Some(6));
/// # Ok::<(), highwater_testkit::KitError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: Option<u32>,
    pub(crate) replicas: Option<u16>,
    pub(crate) configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of this name, with as many partitions and replicas as `num.partitions` and
    /// `default.replication.factor` say.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: None, replicas: None, configs: Vec::new() }
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partitions(self, count: u32) -> Self {
        Self { partitions: Some(count), ..self }
    }

    /// How many replicas each partition has; no more than there are nodes.
    #[must_use]
    pub fn replicas(self, count: u16) -> Self {
        Self { replicas: Some(count), ..self }
    }

    /// Sets one of its configs, by Kafka's name.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), value.into()));
        self
    }
}
