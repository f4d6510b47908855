//! The Kafka wire protocol: frames, headers and every message body, decoded as borrowed views.
