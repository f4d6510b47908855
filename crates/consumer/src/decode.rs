//! Bytes to keys and values.

use core::error::Error;
use core::fmt;

use bytes::Bytes;
use highwater_records::Headers;
use highwater_types::TopicName;

/// What part of a record is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl fmt::Display for RecordPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// Where a key or value comes from.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext<'a> {
    /// The record's topic.
    pub topic: &'a TopicName,
    /// Key or value.
    pub part: RecordPart,
    /// The record's headers.
    pub headers: Headers<'a>,
}

/// Why bytes are no key or value of the type asked for. Blames the data, or whoever expects that type.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DecodeError(Box<dyn Error + Send + Sync>);

impl DecodeError {
    /// For this reason: an error, or a text.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// Reads a key or a value from bytes: Kafka's deserializer.
///
/// Numbers are big-endian and texts UTF-8, as those that come with Kafka read them. Null is no bytes at all, and never
/// comes here.
pub trait Decode: Sized {
    /// What `bytes` say. They share the memory of their batch: keep a copy of a small part of it instead of that.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if they say nothing of the kind.
    fn decode(context: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError>;
}

impl Decode for Bytes {
    fn decode(_: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(bytes)
    }
}

impl Decode for Vec<u8> {
    fn decode(_: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl Decode for String {
    fn decode(_: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError> {
        core::str::from_utf8(&bytes).map(str::to_owned).map_err(DecodeError::new)
    }
}

macro_rules! decode_number {
    ($($number:ty),*) => {$(
        impl Decode for $number {
            fn decode(context: &DecodeContext<'_>, bytes: Bytes) -> Result<Self, DecodeError> {
                let exact = bytes.as_ref().try_into().map_err(|_| {
                    let (part, wanted) = (context.part, size_of::<Self>());
                    DecodeError::new(format!("the {part} has {} bytes and not {wanted}", bytes.len()))
                })?;
                Ok(Self::from_be_bytes(exact))
            }
        }
    )*};
}

decode_number!(i16, i32, i64, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<T: Decode>(bytes: &'static [u8]) -> Result<T, String> {
        let topic = TopicName::new("orders").unwrap();
        let context = DecodeContext { topic: &topic, part: RecordPart::Value, headers: Headers::default() };
        T::decode(&context, Bytes::from_static(bytes)).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_and_texts_are_kafkas() {
        assert_eq!(decode::<i32>(&[0, 0, 1, 2]), Ok(258));
        assert_eq!(decode::<i64>(&[0xff; 8]), Ok(-1));
        assert_eq!(decode::<i16>(&[1, 0]), Ok(256));
        assert_eq!(decode::<f64>(&[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), Ok(1.5));
        assert_eq!(decode::<String>("zürich".as_bytes()), Ok("zürich".to_owned()));
        assert_eq!(decode::<Vec<u8>>(&[1, 2]), Ok(vec![1, 2]));
        assert_eq!(decode::<Bytes>(&[1, 2]), Ok(Bytes::from_static(&[1, 2])));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(decode::<i32>(&[1]).unwrap_err(), "the value has 1 bytes and not 4");
        assert!(decode::<String>(&[0xff]).unwrap_err().contains("utf-8"));
    }
}
