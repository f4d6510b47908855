//! What the driver reports.

use std::sync::Arc;

use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs, TopicName,
};

use crate::{RequestId, TopicUpdate};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Metadata have arrived; of topics that are not in it nothing is said.
    Metadata(Vec<TopicUpdate>),
    /// A broker can be sent to.
    Connected(NodeId),
    /// The connection to a broker is lost, or could not be made: whatever it has not answered, it will not. Do not report
    /// that without some delay if it could not be made, since the producer asks for it again at once.
    Disconnected(NodeId),
    /// A request with `acks=0` is on its way.
    Sent(RequestId),
    /// A request is answered.
    Answered(RequestId, Vec<PartitionAnswer>),
    /// A request is answered, or could not be sent, as a whole.
    Failed(RequestId, ErrorCode),
    /// A producer id, with its epoch, or why there is none.
    ProducerId(Result<(ProducerId, ProducerEpoch), ErrorCode>),
}

/// What a broker says of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAnswer {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// `NONE`, or why the batch is not stored.
    pub error: ErrorCode,
    /// Offset of the first record; `None` for unknown.
    pub base_offset: Option<Offset>,
    /// When the leader appended the batch, if that is the time of its records.
    pub append_time: Option<TimestampMs>,
    /// Start of the log; `None` for unknown.
    pub log_start: Option<Offset>,
    /// Records that are the reason, by their position in the batch, with what is wrong.
    pub record_errors: Vec<(u32, Option<Arc<str>>)>,
    /// What else the broker says.
    pub message: Option<Arc<str>>,
    /// Who leads the partition now, if the broker says (KIP-951).
    pub leader: Option<(NodeId, LeaderEpoch)>,
}

impl PartitionAnswer {
    /// An answer that says no more than this.
    #[must_use]
    pub const fn new(topic: TopicName, partition: PartitionIndex, error: ErrorCode) -> Self {
        Self {
            topic,
            partition,
            error,
            base_offset: None,
            append_time: None,
            log_start: None,
            record_errors: Vec::new(),
            message: None,
            leader: None,
        }
    }
}
