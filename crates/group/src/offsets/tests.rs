//! Tests of the committed offsets.
