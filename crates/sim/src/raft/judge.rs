//! What must be true, judged from outside the nodes.

use std::collections::BTreeMap;

use highwater_raft::{QuorumState, ReplicaKey, SnapshotId, VoterSet};
use highwater_types::{LeaderEpoch, Offset};

use super::book::difference;
use super::disk::{Batch, Disk};
use super::node::Node;

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Who led each epoch, with its incarnation.
    leaders: BTreeMap<LeaderEpoch, (ReplicaKey, u64)>,
    /// Whom each replica has voted for in each epoch.
    votes: BTreeMap<(ReplicaKey, LeaderEpoch), ReplicaKey>,
    /// Each batch that was ever written, by epoch and offset, with the epoch of the one before.
    batches: BTreeMap<(LeaderEpoch, Offset), (Batch, Option<LeaderEpoch>)>,
    snapshots: BTreeMap<SnapshotId, Vec<Batch>>,
    /// Everything that any node ever said to be committed, with the epoch in which it was.
    committed: Vec<(Batch, LeaderEpoch)>,
}

impl Judge {
    /// A state is on the disk of `node`.
    pub(super) fn stored(&mut self, key: ReplicaKey, before: QuorumState, state: QuorumState) {
        assert!(before.epoch <= state.epoch, "{key} went from epoch {} to {}", before.epoch, state.epoch);
        if let Some(voted) = state.voted {
            let known = *self.votes.entry((key, state.epoch)).or_insert(voted);
            assert_eq!(known, voted, "{key} voted twice in epoch {}", state.epoch);
        }
    }

    /// A vote goes out.
    pub(super) fn granted(&self, key: ReplicaKey, candidate: ReplicaKey, epoch: LeaderEpoch) {
        let stored = self.votes.get(&(key, epoch));
        assert_eq!(stored, Some(&candidate), "{key} gave a vote in epoch {epoch} that it has not stored");
    }

    /// A node leads.
    pub(super) fn elected(&mut self, node: &Node, epoch: LeaderEpoch) {
        let this = (node.key, node.incarnation);
        let known = *self.leaders.entry(epoch).or_insert(this);
        assert_eq!(known, this, "epoch {epoch} has two leaders");
        let whole = node.disk.whole();
        // One that was elected too late may lack what later leaders have committed; it will find out.
        for (batch, _) in self.committed.iter().filter(|(_, committed_in)| *committed_in < epoch) {
            let own = whole.iter().find(|own| own.base == batch.base);
            assert_eq!(own, Some(batch), "the leader {} of epoch {epoch} lacks what is committed", node.key);
        }
    }

    /// A batch was written to the log of `node`.
    pub(super) fn written(&mut self, node: &Node, batch: Batch) {
        let whole = node.disk.whole();
        let before = whole.len().checked_sub(2).and_then(|index| whole.get(index)).map(|batch| batch.epoch);
        let known = *self.batches.entry((batch.epoch, batch.base)).or_insert((batch, before));
        assert_eq!(known, (batch, before), "{} has another batch in epoch {}", node.key, batch.epoch);
    }

    /// A leader is about to write who decides from here on, behind `whole`. `last_change` is where its log says that last.
    pub(super) fn voters_change(
        &self,
        node: &Node,
        epoch: LeaderEpoch,
        before: &VoterSet,
        after: &VoterSet,
        last_change: Option<Batch>,
    ) {
        assert!(difference(before, after) <= 1, "{} changes two voters at once: {before:?}, {after:?}", node.key);
        assert!(!after.is_empty(), "{} leaves nobody to decide", node.key);
        let is_committed = |batch: &Batch| self.committed.iter().any(|(known, _)| known == batch);
        if let Some(last) = last_change {
            assert!(is_committed(&last), "{} changes the voters before {last:?} is committed", node.key);
        }
        let own = self.committed.iter().any(|(known, _)| known.epoch == epoch);
        assert!(own, "{} changes the voters before anything of epoch {epoch} is committed", node.key);
    }

    /// A node has taken a snapshot: whoever takes one of the same place has the same in it.
    pub(super) fn snapshot_taken(&mut self, id: SnapshotId, batches: &[Batch]) {
        let known = self.snapshots.entry(id).or_insert_with(|| batches.to_vec());
        assert_eq!(known, batches, "snapshot {id} is another one");
    }

    /// What is in a snapshot.
    pub(super) fn snapshot(&self, id: SnapshotId) -> Vec<Batch> {
        self.snapshots.get(&id).cloned().expect("somebody has taken it")
    }

    /// A node says that everything before `end` is committed. `voters` are the disks of all voters, also of those that
    /// were replaced: what they acknowledged may arrive after their end.
    pub(super) fn committed(&mut self, node: &Node, end: Offset, voters: &[&Disk]) {
        let epoch = node.raft.as_ref().map(highwater_raft::Raft::epoch).expect("the node runs");
        let own: Vec<Batch> = node.disk.whole().into_iter().take_while(|batch| batch.end <= end).collect();
        for ((known, _), own) in self.committed.iter().zip(&own) {
            assert_eq!(known, own, "{} says that another batch is committed", node.key);
        }
        for batch in own.get(self.committed.len()..).unwrap_or_default() {
            let copies = voters.iter().filter(|voter| voter.has_synced(batch)).count();
            assert!(voters.len() / 2 < copies, "{} says that {batch:?} is committed, with {copies} copies", node.key);
            self.committed.push((*batch, epoch));
        }
    }
}
