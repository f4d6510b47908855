//! Messages of format v0 and v1, which older clients send and older files hold.

mod builder;
mod inner;
mod message;

pub use builder::{LegacyBuilder, LegacyMagic};
pub use inner::{InnerMessage, InnerMessages};
pub use message::LegacyMessage;
