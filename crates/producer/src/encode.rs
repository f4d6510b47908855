//! Keys and values to bytes.

use core::error::Error;

use highwater_types::{TimestampMs, TopicName};

use crate::{Header, ProducerRecord, SerializedRecord};

/// What part of a record is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl core::fmt::Display for RecordPart {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// Where a key or value is going.
#[derive(Debug)]
pub struct EncodeContext<'a> {
    /// The record's topic.
    pub topic: &'a TopicName,
    /// Key or value.
    pub part: RecordPart,
    /// The record's headers. An encoder may add some, such as the id of a schema.
    pub headers: &'a mut Vec<Header>,
}

/// Why a key or value has no bytes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EncodeError(Box<dyn Error + Send + Sync>);

impl EncodeError {
    /// For this reason: an error, or a text.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// Turns a key or a value into bytes: Kafka's serializer.
///
/// Numbers are big-endian and texts UTF-8, as those that come with Kafka write them. Null is an absent key or value, which
/// is never encoded.
pub trait Encode {
    /// Appends the bytes to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if there are none; the record is then not sent.
    fn encode(&self, context: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// The bytes, if they are there already: saves a copy. Then [`encode`](Self::encode) is not called.
    fn as_encoded(&self) -> Option<&[u8]> {
        None
    }
}

impl Encode for [u8] {
    fn encode(&self, _: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn as_encoded(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl Encode for str {
    fn encode(&self, context: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_bytes().encode(context, out)
    }

    fn as_encoded(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

macro_rules! encode_as {
    ($($type:ty => $slice:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, context: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                <$slice>::encode(self, context, out)
            }

            fn as_encoded(&self) -> Option<&[u8]> {
                <$slice>::as_encoded(self)
            }
        }
    )*};
}

encode_as!(Vec<u8> => [u8], String => str);

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, context: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        T::encode(self, context, out)
    }

    fn as_encoded(&self) -> Option<&[u8]> {
        T::as_encoded(self)
    }
}

macro_rules! encode_number {
    ($($number:ty),*) => {$(
        impl Encode for $number {
            fn encode(&self, _: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                out.extend_from_slice(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

encode_number!(i16, i32, i64, f32, f64);

/// Why a record cannot be sent as it is. Blames the application.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// Its key or value has no bytes.
    #[error("the {part} of a record for {topic} cannot be encoded")]
    Encode {
        /// Where it was to go.
        topic: TopicName,
        /// Which one.
        part: RecordPart,
        /// Why.
        source: EncodeError,
    },
    /// Its time is before 1970.
    #[error("a record for {topic} has the timestamp {timestamp}, which is negative")]
    Timestamp {
        /// Where it was to go.
        topic: TopicName,
        /// Its time.
        timestamp: TimestampMs,
    },
}

/// Encodes records one after the other, in the same two buffers.
#[derive(Clone, Debug, Default)]
pub struct RecordEncoder {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl RecordEncoder {
    /// What a buffer keeps from one record to the next, in bytes.
    const KEPT_BYTES_MAX: usize = 1 << 20;

    /// An encoder. Allocates at its first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `record` as bytes, made at `now` unless it says otherwise. The key is encoded before the value, as in Kafka.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if it has none, or a negative timestamp.
    pub fn encode<'a, K: Encode, V: Encode>(
        &'a mut self,
        record: &'a mut ProducerRecord<K, V>,
        now: TimestampMs,
    ) -> Result<SerializedRecord<'a>, PrepareError> {
        let ProducerRecord { topic, partition, timestamp, key, value, headers } = record;
        let timestamp = timestamp.unwrap_or(now);
        if !timestamp.is_some() {
            return Err(PrepareError::Timestamp { topic: topic.clone(), timestamp });
        }
        let key = encode_part(key.as_ref(), EncodeContext { topic, part: RecordPart::Key, headers }, &mut self.key)?;
        let value =
            encode_part(value.as_ref(), EncodeContext { topic, part: RecordPart::Value, headers }, &mut self.value)?;
        Ok(SerializedRecord { topic, partition: *partition, timestamp, key, value, headers })
    }
}

fn encode_part<'a, T: Encode>(
    part: Option<&'a T>,
    mut context: EncodeContext<'_>,
    buffer: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, PrepareError> {
    let Some(part) = part else { return Ok(None) };
    if let Some(bytes) = part.as_encoded() {
        return Ok(Some(bytes));
    }
    buffer.clear();
    buffer.shrink_to(RecordEncoder::KEPT_BYTES_MAX);
    match part.encode(&mut context, buffer) {
        Ok(()) => Ok(Some(buffer)),
        Err(source) => Err(PrepareError::Encode { topic: context.topic.clone(), part: context.part, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicName {
        TopicName::new("orders").unwrap()
    }

    struct Schema(i32);

    impl Encode for Schema {
        fn encode(&self, context: &mut EncodeContext<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
            if self.0 < 0 {
                return Err(EncodeError::new("no such schema"));
            }
            context.headers.push(Header::new(format!("{}-schema", context.part), self.0.to_be_bytes()));
            out.push(7);
            Ok(())
        }
    }

    #[test]
    fn numbers_and_texts_are_kafkas() {
        let mut encoder = RecordEncoder::new();
        let mut record = ProducerRecord::new(topic(), "zürich").key(258i32);
        let encoded = encoder.encode(&mut record, TimestampMs(5)).unwrap();
        assert_eq!(encoded.key, Some(&[0, 0, 1, 2][..]));
        assert_eq!(encoded.value, Some("zürich".as_bytes()));
        assert_eq!(encoded.timestamp, TimestampMs(5));
        let mut record = ProducerRecord::new(topic(), 1.5f64).key(-1i64);
        let encoded = encoder.encode(&mut record, TimestampMs(5)).unwrap();
        assert_eq!(encoded.key, Some(&[0xff; 8][..]));
        assert_eq!(encoded.value, Some(&1.5f64.to_be_bytes()[..]));
    }

    #[test]
    fn null_is_not_empty() {
        let mut encoder = RecordEncoder::new();
        let mut record: ProducerRecord<&str, &str> = ProducerRecord::new(topic(), "");
        let encoded = encoder.encode(&mut record, TimestampMs(5)).unwrap();
        assert_eq!((encoded.key, encoded.value), (None, Some(&[][..])));
    }

    #[test]
    fn an_encoder_may_add_headers_and_the_key_comes_first() {
        let mut encoder = RecordEncoder::new();
        let mut record = ProducerRecord::new(topic(), Schema(2)).key(Schema(1));
        let encoded = encoder.encode(&mut record, TimestampMs(5)).unwrap();
        let names: Vec<&str> = encoded.headers.iter().map(|header| header.key.as_str()).collect();
        assert_eq!(names, ["key-schema", "value-schema"]);
        assert_eq!(encoded.value, Some(&[7][..]));
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        let mut encoder = RecordEncoder::new();
        let mut record = ProducerRecord::new(topic(), Schema(-1)).key("k");
        let error = encoder.encode(&mut record, TimestampMs(5)).unwrap_err();
        assert_eq!(error.to_string(), "the value of a record for orders cannot be encoded");
        assert_eq!(error.source().unwrap().to_string(), "no such schema");
        let mut record = ProducerRecord::new(topic(), "v").key("k");
        record.timestamp = Some(TimestampMs(-1));
        let error = encoder.encode(&mut record, TimestampMs(5)).unwrap_err();
        assert_eq!(error.to_string(), "a record for orders has the timestamp -1, which is negative");
    }
}
