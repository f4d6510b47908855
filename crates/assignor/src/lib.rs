#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod client;
mod member;
mod partitions;
mod range;
#[cfg(test)]
mod testing;
mod uniform;

pub use member::Member;
pub use partitions::Partitions;
pub use range::range;
pub use uniform::uniform;
