//! What a leader checks and changes before it appends what a client sent.

mod check;
mod error;
mod leader;
mod rules;

pub use error::{BatchFault, RejectReason, RejectedRecord, ValidateError};
pub use leader::{Validated, assign, validate, validate_and_assign};
pub use rules::{Depth, LeaderRules, Origin, TargetCodec};
