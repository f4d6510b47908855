//! A look at a consumer group.

use std::time::Instant;

use highwater_types::ErrorCode;
use highwater_wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use crate::admin;
use crate::embedded::{EmbeddedBroker, PAUSE, TIMEOUT};
use crate::error::KitError;

/// A consumer group, by name; it need not exist.
#[derive(Debug)]
pub struct Group<'b> {
    broker: &'b EmbeddedBroker,
    name: String,
}

/// How far a group has committed in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset that the group goes on with.
    pub offset: u64,
}

impl<'b> Group<'b> {
    pub(crate) fn new(broker: &'b EmbeddedBroker, name: String) -> Self {
        Self { broker, name }
    }

    /// What the group has committed, in the order of topics and partitions. Asks the group's coordinator, and waits while
    /// it loads.
    ///
    /// ```
    /// let broker = highwater_testkit::EmbeddedBroker::start()?;
    /// assert!(broker.group("billing").committed()?.is_empty());
    /// # Ok::<(), highwater_testkit::KitError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KitError`] if no coordinator answers, or it refuses.
    pub fn committed(&self) -> Result<Vec<CommittedOffset>, KitError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.ask() {
                Err(KitError::Refused { code, .. }) if code.is_retriable() && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    /// How many committed records lie between what the group has committed and the ends of those partitions, all
    /// together. Partitions in which it has committed nothing do not count.
    ///
    /// # Errors
    ///
    /// As [`committed`](Self::committed), and if such a partition has no leader that runs.
    pub fn lag(&self) -> Result<u64, KitError> {
        let mut lag = 0;
        for committed in self.committed()? {
            let end = self.broker.end_offset(&committed.topic, committed.partition)?;
            lag += end.saturating_sub(committed.offset);
        }
        Ok(lag)
    }

    fn ask(&self) -> Result<Vec<CommittedOffset>, KitError> {
        let what = || format!("the offsets of group {}", self.name);
        let mut connection = self.broker.connect()?;
        let request = FindCoordinatorRequest { key: self.name.as_str().into(), ..FindCoordinatorRequest::default() };
        let found: FindCoordinatorResponse<'_> = connection.call(3, &request, admin::TIMEOUT)?;
        admin::check(found.error_code, what, found.error_message.as_deref())?;
        let unknown = || admin::check(ErrorCode::CoordinatorNotAvailable as i16, what, None);
        let Ok(node) = u32::try_from(found.node_id) else { return unknown().map(|()| Vec::new()) };
        let mut connection = self.broker.connect_to(node)?;
        let request =
            OffsetFetchRequest { group_id: self.name.as_str().into(), topics: None, ..OffsetFetchRequest::default() };
        let response: OffsetFetchResponse<'_> = connection.call(7, &request, admin::TIMEOUT)?;
        admin::check(response.error_code, what, None)?;
        let mut all = Vec::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                admin::check(partition.error_code, what, None)?;
                // None was committed where it is negative.
                let offset = u64::try_from(partition.committed_offset).ok();
                let index = u32::try_from(partition.partition_index).ok();
                if let (Some(offset), Some(partition)) = (offset, index) {
                    all.push(CommittedOffset { topic: topic.name.clone().into_owned(), partition, offset });
                }
            }
        }
        all.sort_by(|left, right| (&left.topic, left.partition).cmp(&(&right.topic, right.partition)));
        Ok(all)
    }
}
