//! Who looks on while records go out.

use core::fmt;

use highwater_types::TopicPartition;

use crate::{ProduceError, ProducerRecord, RecordMetadata};

/// Sees, and may change, every record before it is encoded, and is told how each ended.
///
/// Takes `&self` since the two methods are called from different threads: one of the application's, and the one that
/// does the I/O.
pub trait Interceptor<K, V> {
    /// A record is about to be encoded; the partitioner sees what this makes of it.
    fn on_send(&self, _record: &mut ProducerRecord<K, V>) {}

    /// A record was acknowledged, or failed. Called before the application hears of it. `to` is where it went, without
    /// a partition number if it failed before it had one.
    fn on_acknowledgement(&self, _to: &TopicPartition, _result: &Result<RecordMetadata, ProduceError>) {}
}

/// A chain of interceptors; each sees what those before it have made of a record.
pub struct Interceptors<K, V>(Vec<Box<dyn Interceptor<K, V> + Send + Sync>>);

impl<K, V> Interceptors<K, V> {
    /// In this order.
    #[must_use]
    pub fn new(chain: Vec<Box<dyn Interceptor<K, V> + Send + Sync>>) -> Self {
        Self(chain)
    }

    /// Has every interceptor see a record.
    pub fn on_send(&self, record: &mut ProducerRecord<K, V>) {
        self.0.iter().for_each(|interceptor| interceptor.on_send(record));
    }

    /// Tells every interceptor how a record ended, in the same order.
    pub fn on_acknowledgement(&self, to: &TopicPartition, result: &Result<RecordMetadata, ProduceError>) {
        self.0.iter().for_each(|interceptor| interceptor.on_acknowledgement(to, result));
    }
}

impl<K, V> Default for Interceptors<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> fmt::Debug for Interceptors<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interceptors").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::TopicName;

    struct Suffix(char);

    impl Interceptor<String, String> for Suffix {
        fn on_send(&self, record: &mut ProducerRecord<String, String>) {
            record.value.get_or_insert_default().push(self.0);
        }
    }

    #[test]
    fn a_chain_runs_in_order() {
        let chain = Interceptors::new(vec![Box::new(Suffix('a')), Box::new(Suffix('b'))]);
        let mut record = ProducerRecord::new(TopicName::new("t").unwrap(), "-".to_owned());
        chain.on_send(&mut record);
        assert_eq!(record.value.as_deref(), Some("-ab"));
    }
}
