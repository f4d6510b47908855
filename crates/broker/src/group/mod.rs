//! Consumer groups: the coordinator of each partition of `__consumer_offsets`.
//!
//! What a group may do is decided by `highwater-group`, and when an answer may go out by `highwater-coordinator`, both
//! state machines. Here they get what they ask for: [`Coordinators`] makes one for every partition of the offsets topic
//! that this broker leads, and finds the one of a group. A [`slot`] holds one with its partition and does what it puts
//! out: append, answer, load. Requests run on the event loop that received them, under the coordinator's lock; what is
//! due by time runs on one thread ([`timers`]), and loading on a few others ([`load`]).
//!
//! Locks are taken in this order: a coordinator, then its partition, then waiting answers or timers.

mod append;
pub(crate) mod codec;
mod coordinators;
mod load;
mod replies;
mod settings;
mod slot;
mod timers;
mod topics;

pub(crate) use coordinators::{Asked, Changes, Coordinators, Services, partition_of};
pub(crate) use replies::PendingResponse;

/// Name of the topic that holds the state of groups.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
