//! What a broker fetches from one other broker: many partitions, one request at a time.

mod machine;
mod session;

pub use machine::{Answered, Answers, Assignment, FetchResponse, Fetcher, FetcherConfig, PartitionKey};
pub use session::{FetchRequest, SessionId};
