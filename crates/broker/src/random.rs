//! Randomness from the operating system.

use highwater_types::{TopicId, Uuid};

/// A random id as Kafka draws them: never a reserved one, and its text never starts with a dash, so that it can be a
/// command line argument.
pub(crate) fn random_uuid() -> Uuid {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
        let id = Uuid::from_bytes(bytes);
        if !id.is_reserved() && !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// 64 random bits, for seeds.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system provides random bytes")
}

/// A topic id that was never used before.
pub(crate) fn new_topic_id() -> TopicId {
    TopicId(random_uuid())
}
