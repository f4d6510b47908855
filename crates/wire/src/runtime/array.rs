//! Arrays that are decoded one element at a time.

use std::fmt;

use super::element::write_null_length;
use super::{DecodeError, Element, EncodeError, Nullable, Reader, Sink, Version};

/// The elements of an array field: either a checked view of encoded bytes, or a `Vec`.
///
/// A decoded array is a view. Its bytes have been checked to be exactly its elements, and
/// [`iter`](Self::iter) decodes them again one by one, without allocating. An array that is to be
/// encoded is made from a `Vec` or collected from an iterator. Both kinds are equal when their
/// elements are.
#[derive(Clone)]
pub struct Array<'a, T>(Kind<'a, T>);

#[derive(Clone)]
enum Kind<'a, T> {
    /// Invariant: `bytes` are exactly `count` elements, as `T::read` in `version` has found.
    View {
        bytes: &'a [u8],
        count: u32,
        version: Version,
    },
    Owned(Vec<T>),
}

impl<T> Array<'_, T> {
    /// An array without elements.
    pub const fn new() -> Self {
        Self(Kind::Owned(Vec::new()))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::View { count, .. } => *count as usize,
            Kind::Owned(elements) => elements.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Element<'a>> Array<'a, T> {
    /// The elements in order, by value. An element of a view is decoded when the iterator gets to
    /// it; one of a `Vec` is cloned.
    pub fn iter(&self) -> Iter<'_, 'a, T> {
        Iter(match &self.0 {
            Kind::View { bytes, count, version } => {
                IterKind::View { reader: Reader::new(bytes), left: *count, version: *version }
            }
            Kind::Owned(elements) => IterKind::Owned(elements.iter()),
        })
    }
}

impl<T> Default for Array<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<Vec<T>> for Array<'_, T> {
    fn from(elements: Vec<T>) -> Self {
        Self(Kind::Owned(elements))
    }
}

impl<T> FromIterator<T> for Array<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Vec::from_iter(elements).into()
    }
}

impl<'a, T: Element<'a> + PartialEq> PartialEq for Array<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (self.is_empty() || self.iter().eq(other.iter()))
    }
}

impl<'a, T: Element<'a> + fmt::Debug> fmt::Debug for Array<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'s, 'a, T: Element<'a>> IntoIterator for &'s Array<'a, T> {
    type Item = T;
    type IntoIter = Iter<'s, 'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Element<'a>> Element<'a> for Array<'a, T> {
    const MIN_SIZE: usize = 1;

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        Self::read_nullable(r, v)?.ok_or(DecodeError::UnexpectedNull)
    }

    fn write<S: Sink>(&self, s: &mut S, v: Version) -> Result<(), EncodeError> {
        if v.flexible {
            s.put_compact_length(self.len())?;
        } else {
            s.put_length(self.len())?;
        }
        match &self.0 {
            Kind::View { .. } => self.iter().try_for_each(|element| element.write(s, v)),
            Kind::Owned(elements) => elements.iter().try_for_each(|element| element.write(s, v)),
        }
    }
}

impl<'a, T: Element<'a>> Nullable<'a> for Array<'a, T> {
    #[inline]
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        let count = if v.flexible { r.compact_length()? } else { r.length()? };
        let Some(count) = count else { return Ok(None) };
        let start = r.rest();
        if start.len() / T::MIN_SIZE.max(1) < count as usize {
            return Err(DecodeError::CountTooLarge { count, left: start.len() });
        }
        T::skip(r, count, v)?;
        Ok(Some(Self(Kind::View { bytes: r.since(start), count, version: v })))
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

/// Iterator over the elements of an [`Array`].
pub struct Iter<'s, 'a, T>(IterKind<'s, 'a, T>);

enum IterKind<'s, 'a, T> {
    View { reader: Reader<'a>, left: u32, version: Version },
    Owned(std::slice::Iter<'s, T>),
}

impl<'a, T: Element<'a>> Iterator for Iter<'_, 'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            IterKind::View { reader, left, version } => {
                *left = left.checked_sub(1)?;
                Some(T::read(reader, *version).expect("the array has read the same bytes before"))
            }
            IterKind::Owned(elements) => elements.next().cloned(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            IterKind::View { left, .. } => *left as usize,
            IterKind::Owned(elements) => elements.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Element<'a>> ExactSizeIterator for Iter<'_, 'a, T> {}

impl<T> fmt::Debug for Iter<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::Writer;
    use super::*;

    const OLD: Version = Version { number: 0, flexible: false };
    const FLEXIBLE: Version = Version { number: 1, flexible: true };

    fn encoded<'a, T: Element<'a>>(value: &T, v: Version) -> Vec<u8> {
        let mut out = Vec::new();
        value.write(&mut Writer::new(&mut out), v).unwrap();
        out
    }

    #[test]
    fn a_view_equals_the_vec_it_was_encoded_from() {
        let owned: Array<'_, Cow<'_, str>> = ["a", "", "ccc"].into_iter().map(Cow::Borrowed).collect();
        for v in [OLD, FLEXIBLE] {
            let bytes = encoded(&owned, v);
            let mut reader = Reader::new(&bytes);
            let view = Array::<Cow<'_, str>>::read(&mut reader, v).unwrap();
            assert_eq!(reader.rest(), []);
            assert_eq!(view, owned);
            assert_eq!(view.iter().len(), 3);
            assert_eq!(encoded(&view, v), bytes);
            assert_eq!(format!("{view:?}"), r#"["a", "", "ccc"]"#);
        }
    }

    #[test]
    fn a_view_can_be_encoded_in_another_form() {
        let bytes = encoded(&Array::from(vec![1_i32, -1]), OLD);
        let view = Array::<i32>::read(&mut Reader::new(&bytes), OLD).unwrap();
        assert_eq!(encoded(&view, FLEXIBLE), [3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_count_is_compared_with_the_bytes_left() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let expected = DecodeError::CountTooLarge { count: i32::MAX.cast_unsigned(), left: 4 };
        assert_eq!(Array::<i64>::read(&mut Reader::new(&huge), OLD).unwrap_err(), expected);
        let fits_by_count_only = [0, 0, 0, 1, 0, 5];
        let error = Array::<Cow<'_, str>>::read(&mut Reader::new(&fits_by_count_only), OLD).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { needed: 5, left: 0 });
    }

    #[test]
    fn null_and_empty_differ() {
        for v in [OLD, FLEXIBLE] {
            for value in [None, Some(Array::<i8>::new())] {
                let bytes = encoded(&value, v);
                assert_eq!(Option::<Array<'_, i8>>::read(&mut Reader::new(&bytes), v).unwrap(), value);
                let plain = Array::<i8>::read(&mut Reader::new(&bytes), v);
                assert_eq!(plain.ok(), value);
            }
        }
    }
}
