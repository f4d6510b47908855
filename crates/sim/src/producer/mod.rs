//! Random histories of a producer.
//!
//! The real machine, driven by its contract and no more, in virtual time: an application that sends, waits, flushes,
//! aborts and closes; brokers that lead partitions, check sequence numbers as Kafka does, refuse what is too large or
//! bad, fail before and after they have stored a batch, and restart without forgetting anything; leaders that move;
//! metadata that come late; connections that break with any part of what was sent on them still arriving, or that swallow
//! everything. A judge looks on from outside:
//!
//! - every record that was taken is told exactly once, in the order of its partition, and within the delivery timeout;
//! - what is acknowledged is in the log, where it is said to be;
//! - an idempotent producer leaves no record twice in a log, and none out of order; one with a single request in flight
//!   none out of order;
//! - requests are within their limits, in flight and in size, and so is the memory.
//!
//! In the end the world heals: everything must be told, another record must reach every partition, and the producer
//! must close.

mod cluster;
mod judge;
mod plan;
mod world;

pub(crate) use world::run;
