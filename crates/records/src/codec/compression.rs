//! Which codec, at which level.

use core::fmt;

use crate::RecordError;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, bare or in the framing of Java's `SnappyOutputStream` ("xerial").
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames. Not allowed in v0 and v1.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of an attributes field, from its lowest three bits.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCodec`] for 5, 6 and 7.
    #[inline]
    pub const fn from_attributes(attributes: u16) -> Result<Self, RecordError> {
        match attributes & 0b111 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            id => Err(RecordError::UnknownCodec { id: id as u8 }),
        }
    }

    /// The number in the attributes, 0 to 4.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of this name; `None` if there is none such.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Whether this build can read and write the codec: each has a cargo feature of its name.
    #[must_use]
    pub const fn is_built(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// Whether records under this codec have to be decompressed to be read.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec with the level to write at.
///
/// The level has no effect on what readers need. `From<Codec>` takes the codec's default level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Compression {
    codec: Codec,
    level: Option<i32>,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self { codec: Codec::None, level: None };

    /// `codec` at its default level: gzip 6 (zlib's), zstd 3; snappy and lz4 have one speed here.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        Self { codec, level: None }
    }

    /// `codec` at `level`, within the ranges of Kafka's `compression.<codec>.level`:
    /// gzip 1 to 9 or -1 for the default, lz4 1 to 17, zstd -131072 to 22.
    ///
    /// LZ4 is always written by the fast compressor, which Kafka's default of 9 selects too; its level is
    /// checked and otherwise ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidLevel`] outside those ranges, and for codecs without levels.
    pub const fn with_level(codec: Codec, level: i32) -> Result<Self, InvalidLevel> {
        let valid = match codec {
            Codec::Gzip => level == -1 || (1 <= level && level <= 9),
            Codec::Lz4 => 1 <= level && level <= 17,
            Codec::Zstd => -131_072 <= level && level <= 22,
            Codec::None | Codec::Snappy => false,
        };
        if valid { Ok(Self { codec, level: Some(level) }) } else { Err(InvalidLevel { codec, level }) }
    }

    /// The codec.
    #[must_use]
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The level, `None` for the codec's default.
    #[must_use]
    pub const fn level(self) -> Option<i32> {
        self.level
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self::new(codec)
    }
}

/// A compression level outside the codec's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{codec} has no level {level}")]
pub struct InvalidLevel {
    /// The codec.
    pub codec: Codec,
    /// The level asked for.
    pub level: i32,
}

/// Who sets a record's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The leader, when it appends.
    LogAppendTime,
}

impl TimestampType {
    /// The type an attributes field names, in its bit 3.
    #[inline]
    #[must_use]
    pub const fn from_attributes(attributes: u16) -> Self {
        if attributes & 0b1000 == 0 { Self::CreateTime } else { Self::LogAppendTime }
    }

    /// Kafka's name: `CreateTime` or `LogAppendTime`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }

    /// The attribute bit.
    pub(crate) const fn bit(self) -> u16 {
        match self {
            Self::CreateTime => 0,
            Self::LogAppendTime => 0b1000,
        }
    }
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Codec, Compression};
    use crate::RecordError;

    #[test]
    fn numbers_and_names_are_kafkas() {
        let names = ["none", "gzip", "snappy", "lz4", "zstd"];
        for (id, (codec, name)) in Codec::ALL.into_iter().zip(names).enumerate() {
            assert_eq!((usize::from(codec.id()), codec.name()), (id, name));
            assert_eq!(Codec::from_attributes(id as u16 | 0xfff8), Ok(codec));
            assert_eq!(Codec::from_name(name), Some(codec));
        }
        for id in 5..8 {
            assert_eq!(Codec::from_attributes(id.into()), Err(RecordError::UnknownCodec { id }));
        }
    }

    #[test]
    fn levels_are_bounded() {
        for (codec, good, bad) in [
            (Codec::Gzip, &[-1, 1, 9][..], &[0, 10, -2][..]),
            (Codec::Lz4, &[1, 17], &[0, 18]),
            (Codec::Zstd, &[-131_072, 0, 22], &[-131_073, 23]),
            (Codec::Snappy, &[], &[0, 1]),
            (Codec::None, &[], &[0]),
        ] {
            for level in good {
                assert_eq!(Compression::with_level(codec, *level).map(Compression::level), Ok(Some(*level)));
            }
            for level in bad {
                assert!(Compression::with_level(codec, *level).is_err(), "{codec} {level}");
            }
        }
    }
}
