//! Who decides after which part of the log (KIP-853).

use highwater_types::Offset;

use crate::{Control, ControlRecord, KRaftVersion, Membership, ReplicaKey, VoterSet};

/// The voters and the level of `kraft.version`, by offset.
///
/// What was read last counts, committed or not: a majority of the voters before and one of those after have a voter in
/// common, as they differ by one. If its record is cut off, the one before counts again.
#[derive(Clone, Debug)]
pub(crate) struct VoterHistory {
    /// `controller.quorum.voters`; in force until there is a VotersRecord.
    configured: VoterSet,
    voters: Timeline<VoterSet>,
    kraft_version: Timeline<KRaftVersion>,
}

/// Values, each in force in logs that reach at least so far, until the next.
#[derive(Clone, Debug)]
struct Timeline<V> {
    base: (Offset, V),
    /// Rising.
    later: Vec<(Offset, V)>,
}

impl VoterHistory {
    pub(crate) fn new(configured: VoterSet) -> Self {
        Self {
            voters: Timeline::new(configured.clone()),
            kraft_version: Timeline::new(KRaftVersion::FIXED),
            configured,
        }
    }

    /// The newest voters.
    pub(crate) fn newest(&self) -> &VoterSet {
        &self.voters.newest().1
    }

    /// The newest level.
    pub(crate) fn kraft_version(&self) -> KRaftVersion {
        self.kraft_version.newest().1
    }

    /// How far a log reaches at least that has the newest voters: they are committed once the high watermark is there.
    /// Zero if they come from elsewhere than the log.
    pub(crate) fn newest_since(&self) -> Offset {
        self.voters.newest().0
    }

    /// Whether this replica is a voter by the voters after `end` or any later ones.
    pub(crate) fn has_had(&self, replica: ReplicaKey, end: Offset) -> bool {
        self.voters.since(end).any(|voters| voters.contains(replica))
    }

    /// What a snapshot that ends here has to say.
    pub(crate) fn at(&self, end: Offset) -> Membership {
        let kraft_version = *self.kraft_version.at(end);
        let voters = if kraft_version.is_dynamic() { self.voters.at(end).clone() } else { VoterSet::default() };
        Membership { kraft_version, voters }
    }

    /// What was said before `end` is what a snapshot says.
    pub(crate) fn load(&mut self, end: Offset, membership: Membership) {
        let Membership { kraft_version, voters } = membership;
        let voters = if voters.is_empty() { self.configured.clone() } else { voters };
        self.voters.rebase(end, voters);
        self.kraft_version.rebase(end, kraft_version);
    }

    /// A record follows.
    pub(crate) fn extend(&mut self, control: Control) {
        let Control { offset, record } = control;
        match record {
            ControlRecord::KRaftVersion(version) => self.kraft_version.push(offset.next(), version),
            ControlRecord::Voters(voters) => self.voters.push(offset.next(), voters),
        }
    }

    /// Everything from `end` on is gone.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.voters.truncate(end);
        self.kraft_version.truncate(end);
    }

    /// Nobody asks for what was before `start` any more.
    pub(crate) fn drop_prefix(&mut self, start: Offset) {
        self.voters.drop_prefix(start);
        self.kraft_version.drop_prefix(start);
    }
}

impl<V> Timeline<V> {
    fn new(base: V) -> Self {
        Self { base: (Offset::ZERO, base), later: Vec::new() }
    }

    fn newest(&self) -> &(Offset, V) {
        self.later.last().unwrap_or(&self.base)
    }

    fn at(&self, end: Offset) -> &V {
        let known = self.later.iter().rev().find(|(since, _)| *since <= end);
        &known.unwrap_or(&self.base).1
    }

    /// What is in force at `end`, and what follows.
    fn since(&self, end: Offset) -> impl Iterator<Item = &V> {
        let later = self.later.iter().filter(move |(since, _)| end < *since);
        later.map(|(_, value)| value).chain([self.at(end)])
    }

    fn push(&mut self, since: Offset, value: V) {
        self.later.push((since, value));
    }

    fn rebase(&mut self, end: Offset, value: V) {
        self.later.retain(|(since, _)| end < *since);
        self.base = (end, value);
    }

    fn truncate(&mut self, end: Offset) {
        self.later.retain(|(since, _)| *since <= end);
    }

    fn drop_prefix(&mut self, start: Offset) {
        let passed = self.later.partition_point(|(since, _)| *since <= start);
        if let Some(last) = self.later.drain(..passed).next_back() {
            self.base = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::NodeId;

    fn set(ids: &[u32]) -> VoterSet {
        VoterSet::new(ids.iter().map(|id| ReplicaKey { id: NodeId::new(*id), directory: None }).collect())
    }

    fn history() -> VoterHistory {
        let mut history = VoterHistory::new(set(&[9]));
        let mut add = |offset, record| history.extend(Control { offset: Offset::new(offset), record });
        add(1, ControlRecord::KRaftVersion(KRaftVersion::DYNAMIC));
        add(2, ControlRecord::Voters(set(&[1])));
        add(5, ControlRecord::Voters(set(&[1, 2])));
        history
    }

    #[test]
    fn what_is_cut_off_counts_no_more() {
        let mut history = history();
        assert_eq!((history.newest(), history.newest_since().value()), (&set(&[1, 2]), 6));
        history.truncate(Offset::new(6));
        assert_eq!(history.newest(), &set(&[1, 2]), "the record at 5 is before 6");
        history.truncate(Offset::new(5));
        assert_eq!((history.newest(), history.kraft_version()), (&set(&[1]), KRaftVersion::DYNAMIC));
        history.truncate(Offset::new(1));
        assert_eq!((history.newest(), history.kraft_version()), (&set(&[9]), KRaftVersion::FIXED));
    }

    #[test]
    fn snapshots_say_what_counted_at_their_end() {
        let voters_at = |history: &VoterHistory, end| history.at(Offset::new(end)).voters;
        let mut history = history();
        assert_eq!(history.at(Offset::new(1)), Membership::default(), "of configured voters nothing is said");
        assert_eq!(voters_at(&history, 5), set(&[1]));
        assert_eq!(voters_at(&history, 6), set(&[1, 2]));
        history.drop_prefix(Offset::new(5));
        assert_eq!(voters_at(&history, 5), set(&[1]));
        assert_eq!(voters_at(&history, 9), set(&[1, 2]));
        history.drop_prefix(Offset::new(8));
        assert_eq!(history.newest(), &set(&[1, 2]));
    }

    #[test]
    fn a_snapshot_replaces_what_was_before_its_end() {
        let mut history = history();
        let membership = Membership { kraft_version: KRaftVersion::DYNAMIC, voters: set(&[3]) };
        history.load(Offset::new(5), membership.clone());
        assert_eq!(history.newest(), &set(&[1, 2]), "what follows it stays");
        history.load(Offset::new(8), membership);
        assert_eq!(history.newest(), &set(&[3]));
        history.load(Offset::new(10), Membership::default());
        assert_eq!(history.newest(), &set(&[9]), "without voters in it those that are configured count");
    }
}
