//! Loads the real `highwater` binary and prints what it costs, beside the raw loop in the same run.
//!
//! The figure that counts is CPU time of the serving process, per request and per GB, read from its process clock:
//! it does not depend on how fast the client is or on what else the machine does. Every sample of the broker has a
//! partner, a sample of a minimal server that does only what the bytes require ([`raw`]: receive, checksum, append,
//! answer; or read and send). Pairs are interleaved (A B B A), the memory that a sample will use is touched first, and
//! the ratio that is reported is the median of the ratios of the pairs.
//!
//! The program is `src/bin/load.rs`; `benches/README.md` holds its last results.

pub mod allocations;
pub mod batch;
pub mod binary;
pub mod case;
pub mod client;
pub mod embedded;
pub mod groups;
pub mod idle;
pub mod machine;
pub mod measure;
pub mod process;
pub mod raw;
pub mod rdkafka;
pub mod report;
pub mod request;
mod stage;
pub mod stub_broker;
pub mod syscalls;
mod target;
