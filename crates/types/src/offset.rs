//! Positions and counts in a partition's log.

use core::fmt;

/// Position of a record in a partition's log, counted in records from zero.
///
/// Never negative: the wire's `-1` is decoded to `None` at the protocol edge and does not exist past it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// First offset of an empty log.
    pub const ZERO: Self = Self(0);
    /// The largest offset the wire can carry, 2^63-1.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The offset `value`.
    ///
    /// # Panics
    ///
    /// If `value` is above 2^63-1, which neither wire nor disk can express.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        assert!(value <= i64::MAX as u64, "an offset fits the wire's signed 64 bits");
        Self(value)
    }

    /// Decodes the wire form, where `-1` stands for "unknown" and anything lower is malformed.
    #[must_use]
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw as u64)) }
    }

    /// The form on wire and disk.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }

    /// The number of records before this position in a log without gaps.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The offset `records` after this one.
    ///
    /// # Panics
    ///
    /// If the log would pass 2^63-1 records; use [`checked_plus`](Self::checked_plus) for unchecked input.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        match self.checked_plus(records) {
            Some(offset) => offset,
            None => panic!("a log ends before 2^63-1 records"),
        }
    }

    /// The offset `records` after this one; `None` past 2^63-1.
    #[must_use]
    pub const fn checked_plus(self, records: u64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(sum) if sum <= i64::MAX as u64 => Some(Self(sum)),
            _ => None,
        }
    }

    /// The offset after this one.
    ///
    /// # Panics
    ///
    /// As [`plus`](Self::plus).
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// Number of records in `self..end`; `None` when `end` is behind `self`.
    #[must_use]
    pub const fn records_until(self, end: Self) -> Option<u64> {
        end.0.checked_sub(self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since the Unix epoch, as records and requests carry them.
///
/// `-1` means "none" in the record formats themselves, in indexes and on the wire alike, so the sentinel
/// stays: [`TimestampMs::NONE`]. Clients may send any other value too; nothing forbids negative times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// No timestamp, `-1`.
    pub const NONE: Self = Self(-1);

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }

    /// Whether a time is given, which Kafka decides by the sign.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }

    /// This time moved by `ms` (which may be negative), held within the range of 64 bits.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, negative when `earlier` is later, held within 64 bits.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Offset, TimestampMs};

    #[test]
    fn negative_wire_offsets_are_none() {
        assert_eq!(Offset::from_wire(-1), None);
        assert_eq!(Offset::from_wire(i64::MIN), None);
        assert_eq!(Offset::from_wire(i64::MAX), Some(Offset::MAX));
        assert_eq!(Offset::new(7).to_wire(), 7);
    }

    #[test]
    fn counting_is_checked_at_both_ends() {
        assert_eq!(Offset::new(3).records_until(Offset::new(9)), Some(6));
        assert_eq!(Offset::new(9).records_until(Offset::new(3)), None);
        assert_eq!(Offset::MAX.checked_plus(1), None);
        assert_eq!(Offset::ZERO.next(), Offset::new(1));
    }

    #[test]
    #[should_panic(expected = "a log ends before")]
    fn plus_past_the_end_is_a_bug() {
        let _ = Offset::MAX.plus(1);
    }

    #[test]
    fn times_saturate() {
        assert_eq!(TimestampMs(i64::MAX).plus_ms(1), TimestampMs(i64::MAX));
        assert_eq!(TimestampMs(i64::MIN).ms_since(TimestampMs(1)), i64::MIN);
        assert!(!TimestampMs::NONE.is_some());
    }
}
