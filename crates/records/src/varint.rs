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

#[cfg(test)]
mod tests {
    use super::{len_i32, len_i64, read_i32, read_i64, write_i32, write_i64};

    /// Value and its minimal form, as Kafka's own encoder gives it.
    const INTS: &[(i32, &[u8])] = &[
        (0, &[0]),
        (-1, &[1]),
        (1, &[2]),
        (63, &[0x7e]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
        (-65, &[0x81, 1]),
        (8191, &[0xfe, 0x7f]),
        (-8192, &[0xff, 0x7f]),
        (8192, &[0x80, 0x80, 1]),
        (1_048_575, &[0xfe, 0xff, 0x7f]),
        (1_048_576, &[0x80, 0x80, 0x80, 1]),
        (134_217_727, &[0xfe, 0xff, 0xff, 0x7f]),
        (-134_217_729, &[0x81, 0x80, 0x80, 0x80, 1]),
        (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    const LONGS: &[(i64, &[u8])] = &[
        (i32::MIN as i64, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (4_294_967_296, &[0x80, 0x80, 0x80, 0x80, 0x20]),
        (1_700_000_000_000, &[0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62]),
        (-1_700_000_000_000, &[0xff, 0x9f, 0xab, 0xfe, 0xf9, 0x62]),
        (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ];

    #[test]
    fn known_forms() {
        for (value, form) in INTS {
            let mut out = Vec::new();
            write_i32(&mut out, *value);
            assert_eq!((out.as_slice(), len_i32(*value)), (*form, form.len()), "{value}");
            assert_eq!(read_i32(&mut &**form), Some(*value));
            assert_eq!(read_i64(&mut &**form), Some((*value).into()));
        }
        for (value, form) in LONGS {
            let mut out = Vec::new();
            write_i64(&mut out, *value);
            assert_eq!((out.as_slice(), len_i64(*value)), (*form, form.len()), "{value}");
            assert_eq!(read_i64(&mut &**form), Some(*value));
        }
    }

    #[test]
    fn cut_and_overlong_forms_are_refused() {
        for (_, form) in INTS.iter().copied() {
            for cut in 0..form.len() {
                assert_eq!(read_i32(&mut &form[..cut]), None);
            }
        }
        for form in [[0xff, 0xff, 0xff, 0xff, 0xff, 1], [0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
            assert_eq!(read_i32(&mut &form[..]), None);
        }
        assert_eq!(read_i64(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn long_forms_and_surplus_bits_are_accepted_as_kafka_does() {
        assert_eq!(read_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]), Some(i32::MIN));
        assert_eq!(read_i32(&mut &[0xfe, 0xff, 0xff, 0xff, 0x1f][..]), Some(i32::MAX));
        assert_eq!(read_i32(&mut &[0x80, 0][..]), Some(0));
        let mut rest = &[0x80, 0x80, 0x80, 0, 7][..];
        assert_eq!((read_i32(&mut rest), rest), (Some(0), &[7][..]));
    }

    #[test]
    fn lengths_change_at_every_seven_bits() {
        for shift in 0..64 {
            for value in [1i64 << shift, (1i64 << shift).wrapping_sub(1), (1i64 << shift).wrapping_neg()] {
                let mut out = Vec::new();
                write_i64(&mut out, value);
                assert_eq!(out.len(), len_i64(value), "{value}");
                assert_eq!(read_i64(&mut out.as_slice()), Some(value));
            }
        }
    }
}
