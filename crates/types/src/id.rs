//! Small numbers that name a node, a partition or an epoch.

use core::fmt;

/// Declares a newtype over a non-negative `i32` of the wire.
macro_rules! wire_i32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Never negative: the wire's `-1` becomes `None` at the protocol edge.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The smallest value, zero.
            pub const ZERO: Self = Self(0);

            /// The value `value`.
            ///
            /// # Panics
            ///
            /// If `value` is above 2^31-1, which the wire cannot express.
            #[must_use]
            pub const fn new(value: u32) -> Self {
                assert!(value <= i32::MAX as u32, "the value fits the wire's signed 32 bits");
                Self(value)
            }

            /// Decodes the wire form; `None` for negative values, which stand for "unknown".
            #[must_use]
            pub const fn from_wire(raw: i32) -> Option<Self> {
                if raw < 0 { None } else { Some(Self(raw as u32)) }
            }

            /// The form on wire and disk.
            #[must_use]
            pub const fn to_wire(self) -> i32 {
                self.0 as i32
            }

            /// The plain number.
            #[must_use]
            pub const fn value(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

wire_i32! {
    /// Number of a broker or controller, `node.id`.
    NodeId
}
wire_i32! {
    /// Number of a partition within its topic, from zero.
    PartitionIndex
}
wire_i32! {
    /// How often a partition has had a new leader; grows by at least one with each (KIP-101).
    LeaderEpoch
}
wire_i32! {
    /// How often a partition's registration (leader, ISR, replicas) has changed (KIP-455, KIP-497).
    PartitionEpoch
}
wire_i32! {
    /// Position of a batch in the gapless stream of one producer and partition (KIP-98).
    ///
    /// Counts modulo 2^31: after 2^31-1 comes 0.
    Sequence
}

impl LeaderEpoch {
    /// The epoch after this one.
    ///
    /// # Panics
    ///
    /// After 2^31-1 elections.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

impl PartitionEpoch {
    /// The epoch after this one.
    ///
    /// # Panics
    ///
    /// After 2^31-1 changes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

impl Sequence {
    /// The sequence `records` after this one, wrapping from 2^31-1 to 0.
    #[must_use]
    pub const fn plus(self, records: u32) -> Self {
        Self(((self.0 as u64 + records as u64) & (i32::MAX as u64)) as u32)
    }
}

/// Epoch of one registration of a broker: the offset of its record in the metadata log, so that every
/// restart has a higher one (KIP-631).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerEpoch(pub u64);

impl BrokerEpoch {
    /// Decodes the wire form; `None` for `-1`, "unknown".
    #[must_use]
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw as u64)) }
    }

    /// The form on wire and disk.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }
}

/// Number that the cluster gave to one producer (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(u64);

impl ProducerId {
    /// The producer id `value`.
    ///
    /// # Panics
    ///
    /// If `value` is above 2^63-1.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        assert!(value <= i64::MAX as u64, "a producer id fits the wire's signed 64 bits");
        Self(value)
    }

    /// Decodes the wire form; `None` for negative values, which stand for "no producer id".
    #[must_use]
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw as u64)) }
    }

    /// The form on wire and disk.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }

    /// The plain number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Incarnation of a producer id; a higher one fences all lower ones (KIP-98, KIP-360).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEpoch(u16);

impl ProducerEpoch {
    /// The first epoch of a producer id.
    pub const ZERO: Self = Self(0);

    /// The epoch `value`.
    ///
    /// # Panics
    ///
    /// If `value` is above 2^15-1.
    #[must_use]
    pub const fn new(value: u16) -> Self {
        assert!(value <= i16::MAX as u16, "a producer epoch fits the wire's signed 16 bits");
        Self(value)
    }

    /// Decodes the wire form; `None` for negative values, which stand for "no epoch".
    #[must_use]
    pub const fn from_wire(raw: i16) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw as u16)) }
    }

    /// The form on wire and disk.
    #[must_use]
    pub const fn to_wire(self) -> i16 {
        self.0 as i16
    }

    /// The plain number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ProducerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerEpoch, LeaderEpoch, NodeId, ProducerEpoch, ProducerId, Sequence};
    use proptest::prelude::*;

    #[test]
    fn wire_sentinels_end_here() {
        assert_eq!(NodeId::from_wire(-1), None);
        assert_eq!(LeaderEpoch::from_wire(i32::MIN), None);
        assert_eq!(ProducerId::from_wire(-1), None);
        assert_eq!(ProducerEpoch::from_wire(-1), None);
        assert_eq!(BrokerEpoch::from_wire(-1), None);
        assert_eq!(NodeId::from_wire(5).map(NodeId::to_wire), Some(5));
    }

    #[test]
    fn a_sequence_wraps_to_zero() {
        let last = Sequence::new(i32::MAX as u32);
        assert_eq!(last.plus(1), Sequence::ZERO);
        assert_eq!(last.plus(3), Sequence::new(2));
    }

    proptest! {
        #[test]
        fn adding_to_a_sequence_is_modulo_2_to_the_31(start in 0..=i32::MAX as u32, records: u32) {
            let want = (u64::from(start) + u64::from(records)) % (1 << 31);
            prop_assert_eq!(u64::from(Sequence::new(start).plus(records).value()), want);
        }
    }
}
