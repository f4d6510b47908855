//! Where encoded bytes go: into a buffer, or only into a count.

use super::EncodeError;

/// Receives encoded bytes in order. Implemented by [`Size`], which counts them, and by [`Writer`],
/// which keeps them, so that one function per structure serves both.
pub trait Sink {
    /// Takes `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Notes that `length` bytes of records belong here, which the caller sends from elsewhere.
    fn put_external(&mut self, length: u32);

    /// Takes an unsigned variable-length integer in its shortest form.
    #[inline]
    fn put_uvarint(&mut self, mut value: u32) {
        while 0x80 <= value {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    /// Takes the length of a compact value, which is written plus one.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] for 2^31-1 and above.
    #[inline]
    fn put_compact_length(&mut self, length: usize) -> Result<(), EncodeError> {
        match i32::try_from(length).ok().and_then(|n| n.checked_add(1)) {
            Some(plus_one) => self.put_uvarint(plus_one.cast_unsigned()),
            None => return Err(EncodeError::TooLarge(length)),
        }
        Ok(())
    }

    /// Takes a 32-bit length.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] above 2^31-1.
    #[inline]
    fn put_length(&mut self, length: usize) -> Result<(), EncodeError> {
        let length = i32::try_from(length).map_err(|_| EncodeError::TooLarge(length))?;
        self.put(&length.to_be_bytes());
        Ok(())
    }
}

/// Counts the bytes that a structure takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    inline: usize,
    external: usize,
}

impl Size {
    /// Bytes that a [`Writer`] would append.
    pub fn inline(self) -> usize {
        self.inline
    }

    /// All bytes on the wire, with the records that are sent from elsewhere.
    pub fn total(self) -> usize {
        self.inline.saturating_add(self.external)
    }
}

impl Sink for Size {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.inline += bytes.len();
    }

    #[inline]
    fn put_external(&mut self, length: u32) {
        self.external = self.external.saturating_add(length as usize);
    }

    #[inline]
    fn put_uvarint(&mut self, value: u32) {
        // A group holds seven bits; zero takes one byte as well.
        self.inline += ((38 - (value | 1).leading_zeros()) / 7) as usize;
    }
}

/// Records that an encoded message refers to and that the caller sends itself, for example with
/// `sendfile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalRecords {
    /// Position in the buffer before which the records belong.
    pub position: usize,
    /// Their length in bytes.
    pub length: u32,
}

/// Appends to a buffer.
#[derive(Debug)]
pub struct Writer<'w> {
    out: &'w mut Vec<u8>,
    external: Vec<ExternalRecords>,
}

impl<'w> Writer<'w> {
    /// A writer that appends to `out`.
    pub fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, external: Vec::new() }
    }

    /// Makes room for `bytes` more.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Ends writing and returns the records that go between the bytes, by ascending position in the
    /// whole buffer. Two at the same position go in the order given.
    pub fn finish(self) -> Vec<ExternalRecords> {
        self.external
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn put_external(&mut self, length: u32) {
        self.external.push(ExternalRecords { position: self.out.len(), length });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uvarint_is_counted_as_it_is_written() {
        for bits in 0..32 {
            for value in [(1_u32 << bits) - 1, 1 << bits, u32::MAX >> bits] {
                let mut out = Vec::new();
                Writer::new(&mut out).put_uvarint(value);
                let mut size = Size::default();
                size.put_uvarint(value);
                assert_eq!(size.total(), out.len(), "{value}");
                assert_eq!(super::super::Reader::new(&out).uvarint(), Ok(value));
            }
        }
    }

    #[test]
    fn lengths_have_31_bits() {
        let max = i32::MAX as usize;
        let mut size = Size::default();
        assert_eq!(size.put_length(max), Ok(()));
        assert_eq!(size.put_length(max + 1), Err(EncodeError::TooLarge(max + 1)));
        assert_eq!(size.put_compact_length(max - 1), Ok(()));
        assert_eq!(size.put_compact_length(max), Err(EncodeError::TooLarge(max)));
    }

    #[test]
    fn external_records_count_but_take_no_room() {
        let mut size = Size::default();
        size.put(&[1, 2]);
        size.put_external(100);
        assert_eq!((size.inline(), size.total()), (2, 102));
        let mut out = vec![0];
        let mut writer = Writer::new(&mut out);
        writer.put(&[1, 2]);
        writer.put_external(100);
        assert_eq!(writer.finish(), [ExternalRecords { position: 3, length: 100 }]);
    }
}
