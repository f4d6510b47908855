//! The commands of the real binary, as a user types them.

mod dev;
mod log_dump;
mod process;
mod usage;
