//! A cursor over the bytes of a message.

use super::DecodeError;

/// Reads values from the front of a byte slice; what it returns borrows from the slice.
///
/// Nothing is allocated, and a length is believed only after it has been compared with the bytes
/// that are left.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// The bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number of bytes that have been read.
    pub fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Checks that everything has been read. Kafka tolerates bytes after the body of a request, so
    /// a broker has no need to call this.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TrailingBytes`] with their number.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], as for every method below.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated { needed: count, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { needed: N, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads a big-endian 16-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads a big-endian 32-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads an unsigned variable-length integer, least significant group first. Encodings longer
    /// than necessary are accepted; bits beyond the 32nd are dropped, as Kafka does.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], or [`DecodeError::VarintTooLong`] when the fifth byte is not the
    /// last.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*byte))
            }
            _ => self.long_uvarint(),
        }
    }

    fn long_uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// Reads the length of a compact string, byte sequence or array; `None` stands for null.
    #[inline]
    pub(super) fn compact_length(&mut self) -> Result<Option<u32>, DecodeError> {
        self.uvarint().map(|n| n.checked_sub(1))
    }

    /// Reads a 32-bit length; `None` stands for null.
    #[inline]
    pub(super) fn length(&mut self) -> Result<Option<u32>, DecodeError> {
        let length = self.i32()?;
        non_negative(length)
    }

    /// Reads the 16-bit length of a string; `None` stands for null.
    #[inline]
    pub(super) fn short_length(&mut self) -> Result<Option<u32>, DecodeError> {
        let length = self.i16()?;
        non_negative(length.into())
    }

    /// The bytes between an earlier state of this cursor and now.
    #[inline]
    pub(super) fn since(&self, start: &'a [u8]) -> &'a [u8] {
        &start[..start.len() - self.rest.len()]
    }
}

#[inline]
fn non_negative(length: i32) -> Result<Option<u32>, DecodeError> {
    match u32::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(DecodeError::NegativeLength(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uvarint_takes_at_most_five_bytes() {
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0x80, 0x80, 0x00], Ok(0)),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f], Ok(u32::MAX)),
            (&[0x80, 0x80, 0x80, 0x80, 0x80], Err(DecodeError::VarintTooLong)),
            (&[0x80], Err(DecodeError::Truncated { needed: 1, left: 0 })),
            (&[], Err(DecodeError::Truncated { needed: 1, left: 0 })),
        ] {
            assert_eq!(Reader::new(bytes).uvarint(), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn lengths_below_minus_one_are_refused() {
        assert_eq!(Reader::new(&(-1_i32).to_be_bytes()).length(), Ok(None));
        assert_eq!(Reader::new(&(-2_i32).to_be_bytes()).length(), Err(DecodeError::NegativeLength(-2)));
        assert_eq!(Reader::new(&i16::MIN.to_be_bytes()).short_length(), Err(DecodeError::NegativeLength(-32768)));
    }

    #[test]
    fn a_failed_read_consumes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.i32(), Err(DecodeError::Truncated { needed: 4, left: 3 }));
        assert_eq!(reader.position(), 0);
        assert_eq!(reader.take(2), Ok(&[1, 2][..]));
        assert_eq!(reader.expect_end(), Err(DecodeError::TrailingBytes(1)));
        assert_eq!(reader.position(), 2);
    }
}
