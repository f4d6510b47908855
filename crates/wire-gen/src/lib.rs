//! Generates the message code of `highwater-wire` from the schema in `crates/wire/schema`.
//!
//! Run it after a change of the schema, and commit what it writes:
//!
//! ```text
//! cargo run -p highwater-wire-gen
//! cargo run -p highwater-wire-gen -- --check
//! ```
//!
//! The second form, which is also a test, writes nothing and fails when the checked-in code is out
//! of date.

mod emit;
mod names;
mod output;
mod parse;
mod schema;

pub use output::{Files, OutputError, render, stale, write};
pub use parse::{SchemaError, load};
pub use schema::{Api, Base, Field, Group, Kind, Message, Schema, Struct, Versions};
