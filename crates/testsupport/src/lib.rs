//! Unpublished test support: script runner, builders, scenario replay and the tidy test.

pub mod heap;
pub mod history;
pub mod log_scenario;
mod script;
pub mod validator_cases;

pub use script::{Runner, run_file};
