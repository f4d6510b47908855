#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod epoch;
mod throttle;

pub mod fetcher;
pub mod follower;
pub mod leader;

pub use epoch::{EpochEnd, EpochTable, UnknownEpoch, divergence};
pub use throttle::{Throttle, ThrottleWindow};
