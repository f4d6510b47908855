//! 128-bit ids and their text form.

use core::{fmt, str::FromStr};

/// A 128-bit id, printed as Kafka does: URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// All zero; on the wire it stands for "none".
    pub const ZERO: Self = Self([0; 16]);
    /// The topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Self = Self(1u128.to_be_bytes());
    /// Length of the text form in characters.
    pub const TEXT_LENGTH: usize = 22;

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A random (version 4) id made from 16 random bytes, or `None` when Kafka would not hand it out:
    /// its first 100 ids are reserved and its text may not start with `-`, which tools take for a flag.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Option<Self> {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = Self(bytes);
        (!id.is_reserved() && !id.to_string().starts_with('-')).then_some(id)
    }

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Whether this is one of the first 100 ids, which Kafka keeps for itself.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        u128::from_be_bytes(self.0) < 100
    }

    /// The 32 lower-case hexadecimal digits that directory names use.
    #[must_use]
    pub fn to_hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0u8; Self::TEXT_LENGTH];
        // 128 bits fill 21 characters of 6 bits and the upper 2 bits of the last.
        for (i, slot) in text.iter_mut().enumerate() {
            let shift = 122 - 6 * i as i32;
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            *slot = ALPHABET[(six & 63) as usize];
        }
        f.pad(core::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// The text is no 22-character URL-safe base64 of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is 22 characters of URL-safe base64")
    }
}

impl core::error::Error for InvalidUuid {}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        let text = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if text.len() != Self::TEXT_LENGTH {
            return Err(InvalidUuid);
        }
        let mut bits = 0u128;
        for (i, &character) in text.iter().enumerate() {
            let six = ALPHABET.iter().position(|&c| c == character).ok_or(InvalidUuid)? as u128;
            if i < 21 {
                bits = bits << 6 | six;
            } else if six & 15 == 0 {
                bits = bits << 2 | six >> 4;
            } else {
                return Err(InvalidUuid);
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// Id of a topic; a topic deleted and created again has another one (KIP-516).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

/// Id of a log directory, written to its `meta.properties` (KIP-858).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::{InvalidUuid, Uuid};
    use proptest::prelude::*;

    #[test]
    fn text_is_kafkas() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::from_bytes([0xff; 16]).to_string(), "_____________________w");
        assert_eq!(
            "5L6g3nShT-eMCtK--X86sw".parse::<Uuid>().map(|id| id.to_hex()).as_deref(),
            Ok("e4bea0de74a14fe78c0ad2bef97f3ab3")
        );
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(text.parse::<Uuid>(), Err(InvalidUuid), "{text}");
        }
    }

    #[test]
    fn random_ids_avoid_reserved_ones_and_leading_dashes() {
        assert_eq!(Uuid::from_random([0xfb; 16]), None, "would print as -");
        let id = Uuid::from_random([7; 16]).expect("an ordinary id");
        assert!(!id.is_reserved());
        assert!(Uuid::METADATA_TOPIC.is_reserved());
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = Uuid::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<Uuid>(), Ok(id));
        }
    }
}
