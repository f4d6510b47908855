//! What the broker answers, asked over real sockets: one behaviour a test, one area a file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod api_versions;
mod cluster;
mod common;
mod compaction;
mod configs;
mod connection;
mod durability;
mod faulty_disk;
mod fetch;
mod groups;
mod housekeeping;
mod list_offsets;
mod metadata;
mod produce;
mod producers;
mod quorum;
mod record_validation;
mod replay;
mod replication;
mod restart;
mod several;
mod transactions;
mod voters;
