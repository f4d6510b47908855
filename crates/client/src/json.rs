//! Keys and values as JSON.

use bytes::Bytes;
use highwater_consumer::{Decode, DecodeContext, DecodeError};
use highwater_producer::{Encode, EncodeContext, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A key or a value that is JSON in the record, of a type that `serde` knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T: Serialize> Encode for Json<T> {
    fn encode(&self, _: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        serde_json::to_writer(out, &self.0).map_err(EncodeError::new)
    }
}

impl<T: DeserializeOwned> Decode for Json<T> {
    fn decode(_: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError> {
        serde_json::from_slice(&bytes).map(Self).map_err(DecodeError::new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use highwater_producer::{ProducerRecord, RecordEncoder};
    use highwater_types::{TimestampMs, TopicName};

    use super::*;

    #[test]
    fn a_value_is_written_as_json_or_not_at_all() {
        let mut encoder = RecordEncoder::new();
        let topic = TopicName::new("orders").unwrap();
        let mut record = ProducerRecord::new(topic.clone(), Json(BTreeMap::from([("apples", 4)]))).key("k");
        let encoded = encoder.encode(&mut record, TimestampMs(0)).unwrap();
        assert_eq!(encoded.value, Some(&br#"{"apples":4}"#[..]));
        let no_text = Json(BTreeMap::from([(vec![1], 2)]));
        let mut record = ProducerRecord::new(topic, no_text).key("k");
        encoder.encode(&mut record, TimestampMs(0)).unwrap_err();
    }
}
