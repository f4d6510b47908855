//! Zig-zag variable-length integers.

/// Reads one `varint` from the front of `bytes` and moves past it.
///
/// `None` if the bytes end first, or if the fifth byte asks for a sixth. Non-minimal forms are accepted and
/// surplus high bits of the fifth byte are dropped, as Kafka does; `bytes` is then at an unspecified place.
#[inline(always)]
pub(crate) fn read_i32(bytes: &mut &[u8]) -> Option<i32> {
    let raw = match **bytes {
        [a, ref rest @ ..] if a < 0x80 => {
            *bytes = rest;
            u32::from(a)
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *bytes = rest;
            u32::from(a & 0x7f) | u32::from(b) << 7
        }
        _ => read_long::<5>(bytes)? as u32,
    };
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads one `varlong`, of at most ten bytes, as [`read_i32`] does.
#[inline(always)]
pub(crate) fn read_i64(bytes: &mut &[u8]) -> Option<i64> {
    let raw = match **bytes {
        [a, ref rest @ ..] if a < 0x80 => {
            *bytes = rest;
            u64::from(a)
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *bytes = rest;
            u64::from(a & 0x7f) | u64::from(b) << 7
        }
        _ => read_long::<10>(bytes)?,
    };
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline(never)]
fn read_long<const MAX: usize>(bytes: &mut &[u8]) -> Option<u64> {
    let mut raw = 0u64;
    for index in 0..MAX {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // At most 63: the tenth byte's surplus bits fall off the left end.
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some(raw);
        }
    }
    None
}

/// Appends `value` as a `varint` in its minimal form.
#[inline]
pub(crate) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_u64(out, u64::from((value << 1 ^ value >> 31) as u32));
}

/// Appends `value` as a `varlong` in its minimal form.
#[inline]
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_u64(out, (value << 1 ^ value >> 63) as u64);
}

#[inline]
fn write_u64(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that [`write_i32`] appends for `value`, 1 to 5.
#[inline]
pub(crate) const fn len_i32(value: i32) -> usize {
    len_u64((value << 1 ^ value >> 31) as u32 as u64)
}

/// Bytes that [`write_i64`] appends for `value`, 1 to 10.
#[inline]
pub(crate) const fn len_i64(value: i64) -> usize {
    len_u64((value << 1 ^ value >> 63) as u64)
}

#[inline]
const fn len_u64(raw: u64) -> usize {
    // One byte for each started seven bits; zero has one too.
    ((63 - (raw | 1).leading_zeros() as usize) / 7) + 1
}
