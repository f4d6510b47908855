//! Versions of messages.

use std::fmt;

/// The version that a structure is read or written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number in the request header.
    pub number: i16,
    /// Whether the version has compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
}

/// An inclusive range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.min..=self.max
    }
}

/// Written like `3-13`, or `0` when there is only one version.
impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_both_ends() {
        let range = VersionRange { min: 3, max: 5 };
        assert_eq!((2..7).map(|v| range.contains(v)).collect::<Vec<_>>(), [false, true, true, true, false]);
        assert_eq!(range.iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(range.to_string(), "3-5");
        assert_eq!(VersionRange { min: 0, max: 0 }.to_string(), "0");
    }
}
