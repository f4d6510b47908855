//! The leader and follower of one Kafka partition as state machines without I/O.
