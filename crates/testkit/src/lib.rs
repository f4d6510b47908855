//! Unpublished test support: script runner, builders, scenario replay and the tidy test.
