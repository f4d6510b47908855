//! Ids, offsets, epochs, sequence arithmetic and error codes of the Kafka protocol, without I/O or dependencies.
