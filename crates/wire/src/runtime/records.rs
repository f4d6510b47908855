//! The records field of Produce and Fetch.

use super::element::write_null_length;
use super::{DecodeError, Element, EncodeError, Reader, Sink, Version};

/// A record set inside a message, which this crate does not look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Records<'a> {
    /// No record set.
    #[default]
    Null,
    /// The record set's bytes.
    Bytes(&'a [u8]),
    /// A record set of this many bytes that is sent from elsewhere. Encoding writes only the
    /// length; [`Writer::finish`](super::Writer::finish) tells where the bytes go. Decoding never
    /// makes one.
    External(u32),
}

impl<'a> Records<'a> {
    /// A record set of no bytes, which consumers prefer to null.
    pub const EMPTY: Self = Self::Bytes(&[]);

    /// The bytes; none for null, and for records that are elsewhere.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Null | Self::External(_) => None,
        }
    }

    /// Length in bytes; zero for null.
    pub fn len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::External(length) => length as usize,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Reads records that may not be null.
    pub(crate) fn read_required(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        match Self::read(r, v)? {
            Self::Null => Err(DecodeError::UnexpectedNull),
            records => Ok(records),
        }
    }

    /// Writes records that may not be null.
    pub(crate) fn write_required<S: Sink>(self, s: &mut S, v: Version, field: &'static str) -> Result<(), EncodeError> {
        if self == Self::Null { Err(EncodeError::UnexpectedNull { field }) } else { self.write(s, v) }
    }
}

impl<'a> Element<'a> for Records<'a> {
    const MIN_SIZE: usize = 1;

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        let length = if v.flexible { r.compact_length()? } else { r.length()? };
        match length {
            Some(length) => r.take(length as usize).map(Self::Bytes),
            None => Ok(Self::Null),
        }
    }

    #[inline]
    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError> {
        if let Self::Null = self {
            write_null_length(s, v);
            return Ok(());
        }
        if v.flexible {
            s.put_compact_length(self.len())?;
        } else {
            s.put_length(self.len())?;
        }
        match *self {
            Self::Null => {}
            Self::Bytes(bytes) => s.put(bytes),
            Self::External(length) => s.put_external(length),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Size, Writer};
    use super::*;

    #[test]
    fn external_records_are_only_a_length() {
        for (flexible, prefix) in [(false, &[0, 0, 1, 44][..]), (true, &[0xad, 0x02])] {
            let v = Version { number: 0, flexible };
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            Records::External(300).write(&mut writer, v).unwrap();
            assert_eq!(writer.finish()[0].position, prefix.len());
            assert_eq!(out, prefix);
            let mut size = Size::default();
            Records::External(300).write(&mut size, v).unwrap();
            assert_eq!(size.total(), prefix.len() + 300);
        }
    }

    #[test]
    fn null_is_not_empty() {
        for flexible in [false, true] {
            let v = Version { number: 0, flexible };
            for records in [Records::Null, Records::EMPTY, Records::Bytes(b"abc")] {
                let mut out = Vec::new();
                records.write(&mut Writer::new(&mut out), v).unwrap();
                assert_eq!(Records::read(&mut Reader::new(&out), v), Ok(records));
                let required = Records::read_required(&mut Reader::new(&out), v);
                assert_eq!(required.is_ok(), records != Records::Null);
            }
        }
    }
}
