//! Top-level structures: bodies of requests and responses, and records of internal logs.

use super::{DecodeError, Element, EncodeError, Reader, Size, Version, VersionRange, Writer};

/// A structure that carries its own version.
pub trait Message<'a>: Element<'a> {
    /// Kafka's name.
    const NAME: &'static str;
    /// API key of a request or response, type of a log record; `None` for other structures.
    const KEY: Option<i16>;
    /// Versions whose layout is known.
    const VERSIONS: VersionRange;
    /// First version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: Option<i16>;

    /// Decodes a body. All of its structure is checked here; going through its arrays afterwards
    /// cannot fail. Bytes after the body are left in the reader. Does not allocate.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedVersion`], or the first contradiction in the bytes.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Bytes that the body takes on the wire, with records that are sent from elsewhere.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Self::encode).
    fn encoded_size(&self, version: i16) -> Result<usize, EncodeError>;

    /// Appends the body. The buffer grows at most once, and not at all when this fails.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the version is not known, when a field has a value that the version
    /// cannot carry, and when a length has no room.
    fn encode(&self, version: i16, out: &mut Writer<'_>) -> Result<(), EncodeError>;
}

/// The version as the fields need it; `None` when it has no layout.
fn version_of<'a, M: Message<'a>>(number: i16) -> Option<Version> {
    let flexible = M::FLEXIBLE_FROM.is_some_and(|from| from <= number);
    M::VERSIONS.contains(number).then_some(Version { number, flexible })
}

#[inline]
pub(crate) fn decode<'a, M: Message<'a>>(r: &mut Reader<'a>, version: i16) -> Result<M, DecodeError> {
    match version_of::<M>(version) {
        Some(v) => M::read(r, v),
        None => Err(DecodeError::UnsupportedVersion { message: M::NAME, version }),
    }
}

#[inline]
fn measure<'a, M: Message<'a>>(message: &M, version: i16) -> Result<(Version, Size), EncodeError> {
    let Some(v) = version_of::<M>(version) else {
        return Err(EncodeError::UnsupportedVersion { message: M::NAME, version });
    };
    let mut size = Size::default();
    message.write(&mut size, v)?;
    Ok((v, size))
}

#[inline]
pub(crate) fn encoded_size<'a, M: Message<'a>>(message: &M, version: i16) -> Result<usize, EncodeError> {
    measure(message, version).map(|(_, size)| size.total())
}

#[inline]
pub(crate) fn encode<'a, M: Message<'a>>(message: &M, version: i16, out: &mut Writer<'_>) -> Result<(), EncodeError> {
    let (v, size) = measure(message, version)?;
    out.reserve(size.inline());
    message.write(out, v)
}
