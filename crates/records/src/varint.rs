//! Zig-zag variable-length integers.

/// Reads one `varint` from the front of `bytes`; returns it and what follows.
///
/// `None` if the bytes end first, or if the fifth byte asks for a sixth. Non-minimal forms are accepted and
/// surplus high bits of the fifth byte are dropped, as Kafka does.
///
/// Slices go in and out by value: a reference to a moving slice would keep it in memory instead of registers,
/// which costs the walk over records a third of its speed.
#[inline(always)]
pub(crate) fn split_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (raw, rest) = match bytes {
        [a, rest @ ..] if *a < 0x80 => (u32::from(*a), rest),
        [a, b, rest @ ..] if *b < 0x80 => (u32::from(*a & 0x7f) | u32::from(*b) << 7, rest),
        _ => {
            let (raw, rest) = split_long::<5>(bytes)?;
            (raw as u32, rest)
        }
    };
    Some(((raw >> 1) as i32 ^ -((raw & 1) as i32), rest))
}

/// Reads one `varlong`, of at most ten bytes, as [`split_i32`] does.
#[inline(always)]
pub(crate) fn split_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (raw, rest) = match bytes {
        [a, rest @ ..] if *a < 0x80 => (u64::from(*a), rest),
        [a, b, rest @ ..] if *b < 0x80 => (u64::from(*a & 0x7f) | u64::from(*b) << 7, rest),
        _ => split_long::<10>(bytes)?,
    };
    Some(((raw >> 1) as i64 ^ -((raw & 1) as i64), rest))
}

#[inline(never)]
fn split_long<const MAX: usize>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut raw = 0u64;
    for (index, &byte) in bytes.iter().take(MAX).enumerate() {
        // At most 63: the tenth byte's surplus bits fall off the left end.
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((raw, bytes.get(index + 1..)?));
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
    use super::{len_i32, len_i64, split_i32, split_i64, write_i32, write_i64};

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
            assert_eq!(split_i32(form), Some((*value, &[][..])));
            assert_eq!(split_i64(form), Some(((*value).into(), &[][..])));
        }
        for (value, form) in LONGS {
            let mut out = Vec::new();
            write_i64(&mut out, *value);
            assert_eq!((out.as_slice(), len_i64(*value)), (*form, form.len()), "{value}");
            assert_eq!(split_i64(form), Some((*value, &[][..])));
        }
    }

    #[test]
    fn cut_and_overlong_forms_are_refused() {
        for (_, form) in INTS.iter().copied() {
            for cut in 0..form.len() {
                assert_eq!(split_i32(&form[..cut]), None);
            }
        }
        for form in [[0xff, 0xff, 0xff, 0xff, 0xff, 1], [0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
            assert_eq!(split_i32(&form), None);
        }
        assert_eq!(split_i64(&[0xff; 11]), None);
    }

    #[test]
    fn long_forms_and_surplus_bits_are_accepted_as_kafka_does() {
        let none = &[][..];
        assert_eq!(split_i32(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Some((i32::MIN, none)));
        assert_eq!(split_i32(&[0xfe, 0xff, 0xff, 0xff, 0x1f]), Some((i32::MAX, none)));
        assert_eq!(split_i32(&[0x80, 0]), Some((0, none)));
        assert_eq!(split_i32(&[0x80, 0x80, 0x80, 0, 7]), Some((0, &[7][..])));
    }

    #[test]
    fn lengths_change_at_every_seven_bits() {
        for shift in 0..64 {
            for value in [1i64 << shift, (1i64 << shift).wrapping_sub(1), (1i64 << shift).wrapping_neg()] {
                let mut out = Vec::new();
                write_i64(&mut out, value);
                assert_eq!(out.len(), len_i64(value), "{value}");
                assert_eq!(split_i64(&out), Some((value, &[][..])));
            }
        }
    }
}
