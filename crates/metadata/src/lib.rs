//! The controller of a Kafka cluster as a state machine: decide on requests, apply metadata records.
