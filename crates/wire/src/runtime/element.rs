//! How each type of the schema is read and written.

use std::borrow::Cow;

use highwater_types::Uuid;

use super::{DecodeError, EncodeError, Reader, Sink, Version};

/// A type that occurs in messages: a scalar, a string, an array, or a generated structure.
pub trait Element<'a>: Clone {
    /// Least number of bytes that a value takes in any version. An array claims no more elements
    /// than this leaves room for.
    const MIN_SIZE: usize;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// The first contradiction in the bytes; the reader is then somewhere inside the value.
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError>;

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// When the value does not exist in version `v`; the sink then holds a part of it.
    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError>;

    /// Checks and passes over `count` values.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    fn skip(r: &mut Reader<'a>, count: u32, v: Version) -> Result<(), DecodeError> {
        for _ in 0..count {
            Self::read(r, v)?;
        }
        Ok(())
    }
}

macro_rules! scalar {
    ($($type:ty, $size:literal, $read:expr, $write:expr;)*) => {$(
        impl<'a> Element<'a> for $type {
            const MIN_SIZE: usize = $size;

            #[inline]
            fn read(r: &mut Reader<'a>, _: Version) -> Result<Self, DecodeError> {
                r.array::<$size>().map($read)
            }

            #[inline]
            fn write<S: Sink>(&self, s: &mut S, _: Version) -> Result<(), EncodeError> {
                let bytes: [u8; $size] = $write(*self);
                s.put(&bytes);
                Ok(())
            }

            fn skip(r: &mut Reader<'a>, count: u32, _: Version) -> Result<(), DecodeError> {
                // Cannot overflow: the array has compared the count with the bytes that are left.
                r.take(count as usize * $size).map(|_| ())
            }
        }
    )*};
}

scalar! {
    bool, 1, |[byte]| byte != 0, |value| [u8::from(value)];
    i8, 1, i8::from_be_bytes, i8::to_be_bytes;
    i16, 2, i16::from_be_bytes, i16::to_be_bytes;
    i32, 4, i32::from_be_bytes, i32::to_be_bytes;
    i64, 8, i64::from_be_bytes, i64::to_be_bytes;
    u16, 2, u16::from_be_bytes, u16::to_be_bytes;
    u32, 4, u32::from_be_bytes, u32::to_be_bytes;
    f64, 8, f64::from_be_bytes, f64::to_be_bytes;
    Uuid, 16, Uuid::from_bytes, |uuid: Uuid| *uuid.as_bytes();
}

/// A type for which null may stand. The provided methods are those of structures, which are
/// preceded by a byte: -1 for null, 1 otherwise.
pub trait Nullable<'a>: Element<'a> {
    /// Reads a value or null.
    ///
    /// # Errors
    ///
    /// Those of [`Element::read`].
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        let [marker] = r.array()?;
        if marker.cast_signed() < 0 { Ok(None) } else { Self::read(r, v).map(Some) }
    }

    /// Writes a value or null.
    ///
    /// # Errors
    ///
    /// Those of [`Element::write`].
    fn write_nullable<S: Sink>(value: Option<&Self>, s: &mut S, v: Version) -> Result<(), EncodeError> {
        match value {
            None => s.put(&[0xff]),
            Some(value) => {
                s.put(&[1]);
                value.write(s, v)?;
            }
        }
        Ok(())
    }
}

impl<'a, T: Nullable<'a>> Element<'a> for Option<T> {
    const MIN_SIZE: usize = 1;

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        T::read_nullable(r, v)
    }

    #[inline]
    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), s, v)
    }
}

impl<'a> Element<'a> for Cow<'a, str> {
    const MIN_SIZE: usize = 1;

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        Self::read_nullable(r, v)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError> {
        let length = i16::try_from(self.len()).map_err(|_| EncodeError::StringTooLong(self.len()))?;
        if v.flexible {
            s.put_uvarint(u32::from(length.cast_unsigned()) + 1);
        } else {
            s.put(&length.to_be_bytes());
        }
        s.put(self.as_bytes());
        Ok(())
    }
}

impl<'a> Nullable<'a> for Cow<'a, str> {
    #[inline]
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        let length = if v.flexible { r.compact_length()? } else { r.short_length()? };
        let Some(length) = length else { return Ok(None) };
        if length > i16::MAX as u32 {
            return Err(DecodeError::StringTooLong(length));
        }
        let bytes = r.take(length as usize)?;
        std::str::from_utf8(bytes).map(|text| Some(Cow::Borrowed(text))).map_err(|_| DecodeError::InvalidUtf8)
    }

    #[inline]
    fn write_nullable<S: Sink>(value: Option<&Self>, s: &mut S, v: Version) -> Result<(), EncodeError> {
        match value {
            Some(value) => value.write(s, v)?,
            None if v.flexible => s.put(&[0]),
            None => s.put(&(-1_i16).to_be_bytes()),
        }
        Ok(())
    }
}

impl<'a> Element<'a> for Cow<'a, [u8]> {
    const MIN_SIZE: usize = 1;

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        Self::read_nullable(r, v)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError> {
        if v.flexible {
            s.put_compact_length(self.len())?;
        } else {
            s.put_length(self.len())?;
        }
        s.put(self);
        Ok(())
    }
}

impl<'a> Nullable<'a> for Cow<'a, [u8]> {
    #[inline]
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        let length = if v.flexible { r.compact_length()? } else { r.length()? };
        let Some(length) = length else { return Ok(None) };
        r.take(length as usize).map(|bytes| Some(Cow::Borrowed(bytes)))
    }

    #[inline]
    fn write_nullable<S: Sink>(value: Option<&Self>, s: &mut S, v: Version) -> Result<(), EncodeError> {
        match value {
            Some(value) => value.write(s, v)?,
            None => write_null_length(s, v),
        }
        Ok(())
    }
}

/// Writes the length that stands for null bytes, records and arrays.
#[inline]
pub(super) fn write_null_length<S: Sink>(s: &mut S, v: Version) {
    if v.flexible {
        s.put(&[0]);
    } else {
        s.put(&(-1_i32).to_be_bytes());
    }
}

/// Reads a structure or null inside a tagged field, where the marker is 0 for null.
pub(crate) fn read_tagged_struct<'a, T: Element<'a>>(r: &mut Reader<'a>, v: Version) -> Result<Option<T>, DecodeError> {
    if r.uvarint()? == 0 { Ok(None) } else { T::read(r, v).map(Some) }
}

/// The value of a field that may not be null in this version.
pub(crate) fn required<'v, T>(value: &'v Option<T>, field: &'static str) -> Result<&'v T, EncodeError> {
    value.as_ref().ok_or(EncodeError::UnexpectedNull { field })
}

/// The error for a field that the version lacks.
#[cold]
pub(crate) fn not_in_version(field: &'static str, v: Version) -> EncodeError {
    EncodeError::NotInVersion { field, version: v.number }
}
