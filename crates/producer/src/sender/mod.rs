//! From batches to requests, and from answers to the ends of records.

mod answer;
mod drain;
mod expire;
mod identity;
mod node;
mod transaction_state;

pub use transaction_state::TransactionState;

pub(crate) use drain::Readiness;
pub(crate) use identity::Idempotence;
pub(crate) use node::{Node, Request};
