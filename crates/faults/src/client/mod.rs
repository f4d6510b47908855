//! A client that says exactly what it asks and tells exactly what it was answered.

mod admin;
mod broker;
mod router;

pub(crate) use admin::TopicSpec;
pub(crate) use broker::{Broker, Fetched, Sequence};
#[cfg(test)]
pub(crate) use router::Leader;
pub(crate) use router::{PartitionState, Router};
