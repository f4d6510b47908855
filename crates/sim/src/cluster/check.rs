//! What the judge is asked after every event.

use super::broker::{Role, min_insync_replicas, partition_of};
use super::judge::UncleanElection;
use super::world::{World, index_of};
use highwater_replication::fetcher::PartitionKey;

impl World<'_, '_> {
    /// Safety, judged from outside, after every event; `node` is where it happened.
    pub(super) fn check(&mut self, node: usize) {
        self.note_losses();
        let Self { nodes, ctx, .. } = self;
        let image = ctx.judge.metadata.image().clone();
        let this = &mut nodes[node];
        let id = this.id();
        let broker = this.process.as_ref().and_then(|process| process.broker.as_ref());
        for (key, replica) in broker.into_iter().flat_map(|broker| &broker.replicas) {
            let log = this.disk.logs.get_mut(key).expect("a replica has a log");
            if let Role::Leader(leader) = &replica.role {
                let state = partition_of(&image, key);
                let is_current = state.is_some_and(|state| state.leader_epoch == leader.leader_epoch());
                if let Some(state) = state.filter(|_| is_current) {
                    // Eligible leaders have what is committed, and while too few are in sync nothing more is.
                    let required = || (min_insync_replicas(&image, key) as usize).min(state.replicas.len());
                    let eligible = state.elr.iter().filter(|_| required() <= leader.isr().len());
                    let mut electable = state.isr.iter().chain(eligible);
                    let missing = electable.find(|member| !leader.maximal_isr().any(|known| known == **member));
                    assert_eq!(missing, None, "R2: {id} does not reckon with it: {state:?}");
                }
                let marks = (leader.high_watermark().value(), leader.knows_high_watermark());
                let judge = &mut ctx.judge.partitions;
                judge.check_leader(key, (id, leader.leader_epoch()), marks, is_current, log);
            }
            ctx.judge.partitions.check_replica(key, id, replica.high_watermark, log);
        }
        for key in self.keys() {
            let Some(state) = partition_of(&image, &key).filter(|_| !self.ctx.judge.partitions.is_lost(&key)) else {
                continue;
            };
            let electable = state.isr.iter().chain(&state.elr).map(|member| index_of(*member));
            let has_lost = |member: usize| self.nodes[member].has_lost_records;
            if !state.isr.is_empty() && electable.clone().all(has_lost) {
                // The controller has taken all others for dead, before it could hear that this one has lost records: the
                // last replica standing, against which only a larger `min.insync.replicas` helps (KIP-966). A leader that
                // does not know of it may still count on what this one had.
                self.ctx.judge.partitions.lose(&key);
            } else if let Some(member) = electable.clone().find(|member| !self.is_complete(*member, &key)) {
                let log = self.nodes[member].disk.logs.get(&key).map(|log| log.matched);
                let committed = self.ctx.judge.partitions.committed_end(&key);
                let is_known = self.nodes[member].has_lost_records;
                assert!(is_known, "R3: {member} has {log:?} of {committed}, in {state:?}");
            }
        }
        self.note_registrations(&image);
    }

    /// Whether a node has everything that is committed.
    pub(super) fn is_complete(&mut self, node: usize, key: &PartitionKey) -> bool {
        self.ctx.judge.partitions.is_complete(key, self.nodes[node].disk.logs.get_mut(key))
    }

    /// An unclean election has to be allowed, and loses what the leader lacks.
    fn note_losses(&mut self) {
        for election in std::mem::take(&mut self.ctx.judge.metadata.unclean) {
            let UncleanElection { key, leader, epoch, was_last_known } = election;
            // Once the world is healed, the administrator has those elected that nobody else would.
            let is_allowed = self.ctx.plan.may_be_unclean || self.ctx.is_healed || was_last_known;
            assert!(is_allowed, "R4: {leader} is elected uncleanly in {epoch}, which the topic does not allow");
            self.ctx.judge.partitions.elected_uncleanly(&key, epoch);
            if !self.is_complete(index_of(leader), &key) {
                self.ctx.judge.partitions.lose(&key);
            }
        }
    }

    /// Who has lost records is known to have once it is registered anew.
    fn note_registrations(&mut self, image: &highwater_metadata::MetadataImage) {
        for node in self.nodes.iter_mut().filter(|node| node.has_lost_records) {
            let registered = image.broker(node.id()).map(|broker| broker.incarnation);
            if node.broker().is_some_and(|broker| Some(broker.incarnation) == registered) {
                node.has_lost_records = false;
            }
        }
    }
}
