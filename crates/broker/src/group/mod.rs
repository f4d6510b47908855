//! Consumer groups: the coordinator of each partition of `__consumer_offsets`.

#[cfg_attr(not(test), expect(unused_imports, reason = "the coordinator's threads come next"))]
pub(crate) mod codec;
