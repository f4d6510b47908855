//! The Kafka record format: v0, v1 and v2 batches, codecs, checksums, validation and rebuilding.
