//! The client against a broker in the same process, one behaviour a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod common;
mod consumer;
mod producer;
