//! The first bytes of every entry, whatever its format.

use crate::RecordError;

/// What the first 17 bytes of any entry say: enough to walk a file without reading its records.
///
/// Offset, length and magic have kept their places through all three formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHead {
    offset: i64,
    size: u32,
    magic: u8,
}

impl EntryHead {
    /// Bytes needed to read a head.
    pub const SIZE: usize = 17;
    /// The least `length` field of any format.
    const LENGTH_MIN: i32 = 14;
    /// Bytes before those that the length field counts.
    const LENGTH_END: usize = 12;

    /// Reads the head of the entry that starts at `bytes[0]`.
    ///
    /// `None` if the bytes end before the magic, which in a record set means "end": entries may be cut.
    ///
    /// # Errors
    ///
    /// - [`RecordError::EntryTooShort`] if the length is below 14, already when only 12 bytes are there.
    /// - [`RecordError::UnknownMagic`] for a magic above 2.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, RecordError> {
        let Some((head, rest)) = bytes.split_first_chunk::<{ Self::LENGTH_END }>() else {
            return Ok(None);
        };
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = *head;
        let length = i32::from_be_bytes([l0, l1, l2, l3]);
        if length < Self::LENGTH_MIN {
            return Err(RecordError::EntryTooShort { length, min: Self::LENGTH_MIN });
        }
        let Some(&magic) = rest.get(4) else {
            return Ok(None);
        };
        if magic > 2 {
            return Err(RecordError::UnknownMagic { magic });
        }
        let offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        // At least 14 and at most 2^31-1, so neither the cast nor the sum can wrap.
        let size = length as u32 + Self::LENGTH_END as u32;
        Ok(Some(Self { offset, size, magic }))
    }

    /// The offset field: of the first record in v2, of the last in v0 and v1.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Size of the whole entry in bytes, at most 2^31+11.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The format: 0, 1 or 2.
    #[must_use]
    pub const fn magic(&self) -> u8 {
        self.magic
    }
}

#[cfg(test)]
mod tests {
    use super::EntryHead;
    use crate::RecordError;

    fn bytes(length: i32, magic: u8) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[7] = 9;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = magic;
        bytes
    }

    #[test]
    fn reads_offset_size_and_magic() {
        let head = EntryHead::peek(&bytes(i32::MAX, 2)).unwrap().unwrap();
        assert_eq!((head.offset(), head.size(), head.magic()), (9, 2_147_483_659, 2));
    }

    #[test]
    fn cut_heads_end_and_bad_lengths_fail_early() {
        let good = bytes(14, 0);
        for cut in 0..17 {
            assert_eq!(EntryHead::peek(&good[..cut]), Ok(None), "cut at {cut}");
        }
        let short = bytes(13, 0);
        for cut in 12..=17 {
            assert_eq!(EntryHead::peek(&short[..cut]), Err(RecordError::EntryTooShort { length: 13, min: 14 }));
        }
        assert_eq!(EntryHead::peek(&bytes(14, 3)), Err(RecordError::UnknownMagic { magic: 3 }));
        assert_eq!(EntryHead::peek(&bytes(-1, 2)), Err(RecordError::EntryTooShort { length: -1, min: 14 }));
    }
}
