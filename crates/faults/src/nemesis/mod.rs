//! What is done to the cluster: planned from the seed alone, then carried out.

mod fault;
mod plan;
mod strike;

pub(crate) use fault::{Fault, Kind};
pub(crate) use plan::Plan;
pub(crate) use strike::{Event, Means, Nemesis};
