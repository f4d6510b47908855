//! A record, as the application gives it and as bytes.

use highwater_records::HeaderView;
use highwater_types::{PartitionIndex, TimestampMs, TopicName};

/// A key with a value, beside the record's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name; need not be unique.
    pub key: String,
    /// Its value, which may be null.
    pub value: Option<Vec<u8>>,
}

impl Header {
    /// A header with a value.
    pub fn new(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }
}

/// What an application wants stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord<K, V> {
    /// The topic.
    pub topic: TopicName,
    /// The partition, if the application chooses it; otherwise the partitioner does.
    pub partition: Option<PartitionIndex>,
    /// When the record was made; `None` for when it is sent. Never negative.
    pub timestamp: Option<TimestampMs>,
    /// The key; `None` for null.
    pub key: Option<K>,
    /// The value; `None` for null, which deletes the key from a compacted topic.
    pub value: Option<V>,
    /// The headers, in order.
    pub headers: Vec<Header>,
}

impl<K, V> ProducerRecord<K, V> {
    /// A record without a key.
    #[must_use]
    pub fn new(topic: TopicName, value: V) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: Some(value), headers: Vec::new() }
    }

    /// This record with a key.
    #[must_use]
    pub fn key(self, key: K) -> Self {
        Self { key: Some(key), ..self }
    }

    /// This record for one partition.
    #[must_use]
    pub fn partition(self, partition: PartitionIndex) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// This record with another header.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header::new(key, value));
        self
    }
}

/// A record as bytes, ready to be added to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerializedRecord<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The partition, if the application chooses it.
    pub partition: Option<PartitionIndex>,
    /// When the record was made.
    pub timestamp: TimestampMs,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header],
}

/// Lends `headers` to `use_them` as batches take them. Allocates only if there are many.
#[inline]
pub(crate) fn with_views<R>(headers: &[Header], use_them: impl FnOnce(&[HeaderView<'_>]) -> R) -> R {
    // As most records are.
    if headers.is_empty() {
        return use_them(&[]);
    }
    const FEW: usize = 8;
    fn view(header: &Header) -> HeaderView<'_> {
        HeaderView { key: header.key.as_bytes(), value: header.value.as_deref() }
    }
    let mut few = [HeaderView { key: &[], value: None }; FEW];
    match few.get_mut(..headers.len()) {
        Some(views) => {
            views.iter_mut().zip(headers).for_each(|(to, header)| *to = view(header));
            use_them(views)
        }
        None => use_them(&headers.iter().map(view).collect::<Vec<_>>()),
    }
}
