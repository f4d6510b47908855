//! Giving partitions back, and losing them.

use highwater_types::{Ticks, TopicPartition};

use crate::{Consumer, Event, RevocationId, Revoking};

/// Partitions that are being given back.
#[derive(Debug)]
pub(crate) struct Revocation {
    id: RevocationId,
    partitions: Vec<TopicPartition>,
    deadline: Ticks,
    is_acknowledged: bool,
}

impl<T> Consumer<T> {
    /// Tells the application to give partitions back. Nothing more comes of them.
    pub(crate) fn begin_revocation(&mut self, now: Ticks, partitions: Vec<TopicPartition>) {
        let id = RevocationId(self.number());
        for name in &partitions {
            if let Some(partition) = self.partitions.get_mut(name) {
                partition.is_revoking = true;
            }
        }
        let deadline = now.plus_ms(self.config.poll_interval_ms_max.into());
        self.events.push_back(Event::Revoking(Revoking { id, partitions: partitions.clone(), deadline }));
        self.revocation = Some(Revocation { id, partitions, deadline, is_acknowledged: false });
        self.go_round();
    }

    /// The partitions of [`Event::Revoking`] are dealt with. Late and repeated ones change nothing.
    pub fn acknowledge(&mut self, now: Ticks, revocation: RevocationId) {
        let current = self.revocation.as_mut();
        let Some(current) = current.filter(|current| current.id == revocation && !current.is_acknowledged) else {
            return;
        };
        current.is_acknowledged = true;
        let partitions = current.partitions.clone();
        self.commit_by_itself(now, |partition| partitions.contains(partition));
        self.run(now);
    }

    pub(crate) fn step_revocation(&mut self, now: Ticks) {
        let Some(revocation) = &self.revocation else { return };
        let deadline = revocation.deadline;
        if revocation.is_acknowledged {
            if self.commits.has_own() && now < deadline {
                return self.hurry(deadline);
            }
            let partitions = revocation.partitions.clone();
            self.end_revocation(&partitions);
        } else if deadline <= now {
            let partitions = revocation.partitions.clone();
            self.forget_revoking();
            self.end_revocation(&partitions);
            self.events.push_back(Event::Lost { partitions });
        } else {
            self.hurry(deadline);
        }
    }

    fn end_revocation(&mut self, partitions: &[TopicPartition]) {
        self.revocation = None;
        self.remove_partitions(partitions);
        if let Some(classic) = self.classic() {
            classic.rejoin();
        }
        if let Some(modern) = self.modern() {
            modern.is_owned_told = false;
            modern.is_unreconciled = true;
        }
    }

    /// An application that has not seen it need not.
    fn forget_revoking(&mut self) {
        self.events.retain(|event| !matches!(event, Event::Revoking(_)));
    }

    /// The group has given everything to others.
    pub(crate) fn lose_partitions(&mut self) {
        self.revocation = None;
        self.forget_revoking();
        let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        if !partitions.is_empty() && self.subscription.is_by_group() {
            self.remove_partitions(&partitions);
            self.events.push_back(Event::Lost { partitions });
        }
        self.go_round();
    }

    /// Takes partitions that the group has assigned.
    pub(crate) fn gain_partitions(&mut self, partitions: Vec<TopicPartition>) {
        self.stats.rebalances += 1;
        if partitions.is_empty() {
            return;
        }
        for partition in &partitions {
            self.add_partition(partition);
        }
        // One that has not been told of the last ones may as well hear of all at once.
        if let Some(Event::Assigned { partitions: before }) = self.events.back_mut() {
            before.extend(partitions);
            return;
        }
        self.events.push_back(Event::Assigned { partitions });
    }
}
