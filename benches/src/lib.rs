//! Shared parts of the load programs.
