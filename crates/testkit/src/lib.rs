//! Unpublished test support: script runner, builders, scenario replay and the tidy test.

mod script;

pub use script::{Runner, run_file};
