//! Tagged fields (KIP-482): optional fields at the end of a structure, each with tag and size.

use std::borrow::Cow;
use std::fmt;

use super::{DecodeError, Element, EncodeError, Reader, Sink, Size, Version};

/// The tagged fields of a structure that the schema does not know, by ascending tag.
///
/// Decoding keeps them as a view of their bytes, and encoding writes them again between the known
/// ones, so that a structure from a newer peer survives being passed on.
#[derive(Clone)]
pub struct TaggedFields<'a>(Kind<'a>);

#[derive(Clone)]
enum Kind<'a> {
    /// Invariant: `bytes` are whole tagged fields by ascending tag, `count` of which have a tag
    /// outside the set of bits `known`.
    View {
        bytes: &'a [u8],
        count: u32,
        known: u32,
    },
    Owned(Vec<(u32, Cow<'a, [u8]>)>),
}

impl<'a> TaggedFields<'a> {
    /// No fields.
    pub const fn new() -> Self {
        Self(Kind::View { bytes: &[], count: 0, known: 0 })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::View { count, .. } => *count as usize,
            Kind::Owned(fields) => fields.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tag and bytes of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let (view, owned) = match &self.0 {
            Kind::View { bytes, known, .. } => {
                let mut reader = Reader::new(bytes);
                let known = *known;
                let fields = std::iter::from_fn(move || read_field(&mut reader).ok());
                (Some(fields.filter(move |(tag, _)| !has(known, *tag))), None)
            }
            Kind::Owned(fields) => (None, Some(fields.iter().map(|(tag, data)| (*tag, &**data)))),
        };
        view.into_iter().flatten().chain(owned.into_iter().flatten())
    }

    /// Reads a section none of whose tags is known.
    #[inline]
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read_known(r, 0, |_, _| Ok(()))
    }

    /// Reads a section. `take` gets each field whose tag is in the set of bits `known`, and must
    /// read all of it.
    #[inline]
    pub(crate) fn read_known(
        r: &mut Reader<'a>,
        known: u32,
        take: impl FnMut(u32, &mut Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        match r.uvarint()? {
            0 => Ok(Self::new()),
            total => Self::read_fields(r, total, known, take),
        }
    }

    fn read_fields(
        r: &mut Reader<'a>,
        total: u32,
        known: u32,
        mut take: impl FnMut(u32, &mut Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let start = r.rest();
        if start.len() / 2 < total as usize {
            return Err(DecodeError::CountTooLarge { count: total, left: start.len() });
        }
        let mut count = 0;
        let mut previous = None;
        for _ in 0..total {
            let (tag, data) = read_field(r)?;
            if let Some(previous) = previous
                && tag <= previous
            {
                return Err(DecodeError::TagOrder { previous, tag });
            }
            previous = Some(tag);
            if !has(known, tag) {
                count += 1;
                continue;
            }
            let mut field = Reader::new(data);
            take(tag, &mut field)?;
            if !field.rest().is_empty() {
                return Err(DecodeError::TagSize { tag, left: field.rest().len() });
            }
        }
        if count == 0 { Ok(Self::new()) } else { Ok(Self(Kind::View { bytes: r.since(start), count, known })) }
    }

    /// Writes a section that has no known field.
    #[inline]
    pub(crate) fn write<S: Sink>(&self, s: &mut S) -> Result<(), EncodeError> {
        if self.is_empty() {
            s.put(&[0]);
            return Ok(());
        }
        self.start(s, 0)?.finish(s)
    }

    /// Starts a section with `known` known fields, which the result takes by ascending tag.
    pub(crate) fn start<S: Sink>(&self, s: &mut S, known: usize) -> Result<TagWriter<'_>, EncodeError> {
        let total = known + self.len();
        s.put_uvarint(u32::try_from(total).map_err(|_| EncodeError::TooLarge(total))?);
        Ok(TagWriter { fields: self, written: 0, previous: None })
    }

    /// Refuses fields in a version that has none.
    pub(crate) fn refuse(&self, owner: &'static str, v: Version) -> Result<(), EncodeError> {
        if self.is_empty() { Ok(()) } else { Err(super::not_in_version(owner, v)) }
    }
}

impl Default for TaggedFields<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> FromIterator<(u32, Cow<'a, [u8]>)> for TaggedFields<'a> {
    fn from_iter<I: IntoIterator<Item = (u32, Cow<'a, [u8]>)>>(fields: I) -> Self {
        Self(Kind::Owned(fields.into_iter().collect()))
    }
}

impl PartialEq for TaggedFields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (self.is_empty() || self.iter().eq(other.iter()))
    }
}

impl fmt::Debug for TaggedFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Writes known fields and puts the unknown ones where their tags belong.
pub(crate) struct TagWriter<'f> {
    fields: &'f TaggedFields<'f>,
    /// Unknown fields already written.
    written: usize,
    previous: Option<u32>,
}

impl TagWriter<'_> {
    /// Writes a known field.
    pub(crate) fn write<'a, S: Sink, T: Element<'a>>(
        &mut self,
        s: &mut S,
        tag: u32,
        value: &T,
        v: Version,
    ) -> Result<(), EncodeError> {
        let mut size = Size::default();
        value.write(&mut size, v)?;
        self.head(s, tag, size.total())?;
        value.write(s, v)
    }

    /// Writes a known field that is a structure or null.
    pub(crate) fn write_struct<'a, S: Sink, T: Element<'a>>(
        &mut self,
        s: &mut S,
        tag: u32,
        value: &Option<T>,
        v: Version,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else {
            self.head(s, tag, 1)?;
            s.put(&[0]);
            return Ok(());
        };
        let mut size = Size::default();
        value.write(&mut size, v)?;
        self.head(s, tag, size.total() + 1)?;
        s.put(&[1]);
        value.write(s, v)
    }

    /// Writes the unknown fields that are left.
    pub(crate) fn finish<S: Sink>(mut self, s: &mut S) -> Result<(), EncodeError> {
        self.unknown_below(s, None)
    }

    fn head<S: Sink>(&mut self, s: &mut S, tag: u32, size: usize) -> Result<(), EncodeError> {
        self.unknown_below(s, Some(tag))?;
        self.advance(tag)?;
        put_head(s, tag, size)
    }

    /// Writes the unknown fields below `tag`, or all that are left.
    fn unknown_below<S: Sink>(&mut self, s: &mut S, tag: Option<u32>) -> Result<(), EncodeError> {
        if self.fields.is_empty() {
            return Ok(());
        }
        for (unknown, data) in self.fields.iter().skip(self.written) {
            if tag.is_some_and(|tag| tag < unknown) {
                break;
            }
            self.advance(unknown)?;
            put_head(s, unknown, data.len())?;
            s.put(data);
            self.written += 1;
        }
        Ok(())
    }

    /// Tags must ascend strictly.
    fn advance(&mut self, tag: u32) -> Result<(), EncodeError> {
        if self.previous.is_some_and(|previous| tag <= previous) {
            return Err(EncodeError::TagConflict(tag));
        }
        self.previous = Some(tag);
        Ok(())
    }
}

fn put_head<S: Sink>(s: &mut S, tag: u32, size: usize) -> Result<(), EncodeError> {
    s.put_uvarint(tag);
    s.put_uvarint(i32::try_from(size).map_err(|_| EncodeError::TooLarge(size))?.cast_unsigned());
    Ok(())
}

fn read_field<'a>(r: &mut Reader<'a>) -> Result<(u32, &'a [u8]), DecodeError> {
    let tag = r.uvarint()?;
    let size = r.uvarint()?;
    Ok((tag, r.take(size as usize)?))
}

fn has(known: u32, tag: u32) -> bool {
    tag < u32::BITS && known >> tag & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::*;

    const V: Version = Version { number: 0, flexible: true };

    fn fields(fields: &[(u32, &'static [u8])]) -> TaggedFields<'static> {
        fields.iter().map(|&(tag, data)| (tag, Cow::Borrowed(data))).collect()
    }

    #[test]
    fn unknown_fields_keep_their_place_among_known_ones() {
        let unknown = fields(&[(0, b"a"), (2, b""), (40, b"bc")]);
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let mut tags = unknown.start(&mut writer, 2).unwrap();
        tags.write(&mut writer, 1, &7_i16, V).unwrap();
        tags.write(&mut writer, 3, &8_i8, V).unwrap();
        tags.finish(&mut writer).unwrap();
        assert_eq!(out, [5, 0, 1, b'a', 1, 2, 0, 7, 2, 0, 3, 1, 8, 40, 2, b'b', b'c']);

        let mut known = Vec::new();
        let read = TaggedFields::read_known(&mut Reader::new(&out), 0b1010, |tag, r| {
            known.push((tag, r.take(r.rest().len()).unwrap().to_vec()));
            Ok(())
        });
        assert_eq!(read.unwrap(), unknown);
        assert_eq!(known, [(1, vec![0, 7]), (3, vec![8])]);
    }

    #[test]
    fn order_is_checked_both_ways() {
        for tags in [&[(1, &b""[..]), (1, b"")][..], &[(2, b""), (1, b"")]] {
            let mut out = Vec::new();
            assert_eq!(fields(tags).write(&mut Writer::new(&mut out)), Err(EncodeError::TagConflict(1)));
        }
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let unknown = fields(&[(1, b"")]);
        let mut tags = unknown.start(&mut writer, 1).unwrap();
        assert_eq!(tags.write(&mut writer, 1, &0_i8, V), Err(EncodeError::TagConflict(1)));
        for tag in [4, 5] {
            let bytes = [2, 5, 0, tag, 0];
            let error = TaggedFields::read(&mut Reader::new(&bytes)).unwrap_err();
            assert_eq!(error, DecodeError::TagOrder { previous: 5, tag: tag.into() });
        }
    }

    #[test]
    fn sizes_and_counts_are_checked() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let error = TaggedFields::read(&mut Reader::new(&huge)).unwrap_err();
        assert_eq!(error, DecodeError::CountTooLarge { count: u32::MAX, left: 2 });
        let too_long = [1, 0, 3, 1, 2];
        let error = TaggedFields::read(&mut Reader::new(&too_long)).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { needed: 3, left: 2 });
        let unread = [1, 0, 2, 1, 2];
        let error = TaggedFields::read_known(&mut Reader::new(&unread), 1, |_, r| r.take(1).map(|_| ()));
        assert_eq!(error.unwrap_err(), DecodeError::TagSize { tag: 0, left: 1 });
    }
}
