//! The commands of the real binary, as a user types them.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod bench;
mod cluster;
mod compat;
mod compat_cluster;
mod completions;
mod context;
mod dev;
mod doctor;
mod errors;
mod group;
mod log_compact;
mod log_dump;
mod log_load;
mod log_verify;
mod member;
mod overview;
mod process;
mod records;
mod server;
mod topic;
mod usage;
