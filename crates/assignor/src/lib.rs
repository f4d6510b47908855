#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod partitions;

pub use partitions::Partitions;
