//! What the test kit promises, asked over real sockets: one behaviour a test, one area a file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod common;
mod errors;
mod faults;
mod inspect;
mod start;
