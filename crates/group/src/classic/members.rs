//! The members of a classic group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_coordinator::Token;

use crate::protocol::ClassicProtocol;
use crate::record::ClassicMemberValue;
use crate::request::JoinGroup;

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// What the leader gave it last; empty for nothing yet.
    pub(super) assignment: Arc<[u8]>,
    /// Has not completed a join yet, and therefore cannot heartbeat.
    pub(super) is_new: bool,
    /// Waits for the leader's assignment.
    pub(super) syncing: Option<Token>,
    /// Has synced in this generation.
    pub(super) has_synced: bool,
    /// In its order of preference; a member that was loaded knows but the one that had won.
    protocols: Vec<ClassicProtocol>,
    /// Waits for the rebalance to begin.
    joining: Option<Token>,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn new(id: Arc<str>, join: &JoinGroup<'_>) -> Self {
        Self {
            id,
            instance_id: join.instance_id.map(Arc::from),
            client_id: Arc::from(join.client.id),
            client_host: Arc::from(join.client.host),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            assignment: Arc::from([]),
            is_new: true,
            syncing: None,
            has_synced: false,
            protocols: join.protocols.clone(),
            joining: None,
        }
    }

    /// The member as a record tells of it. What is `known` of it besides stays, and its other protocols do if the one
    /// in the record is among them.
    pub(super) fn from_value(value: ClassicMemberValue, known: Option<Self>) -> Self {
        let (joining, syncing, has_synced) =
            known.as_ref().map_or((None, None, true), |known| (known.joining, known.syncing, known.has_synced));
        let protocols = known.map(|known| known.protocols).filter(|known| known.contains(&value.subscription));
        let protocols = protocols.unwrap_or_else(|| vec![value.subscription]);
        Self {
            id: value.id,
            instance_id: value.instance_id,
            client_id: value.client_id,
            client_host: value.client_host,
            rebalance_timeout_ms: value.rebalance_timeout_ms.unwrap_or(value.session_timeout_ms),
            session_timeout_ms: value.session_timeout_ms,
            assignment: value.assignment,
            is_new: false,
            syncing,
            has_synced,
            protocols,
            joining,
        }
    }

    pub(super) fn protocols(&self) -> &[ClassicProtocol] {
        &self.protocols
    }

    /// Its protocol of this name.
    pub(super) fn protocol(&self, name: &str) -> Option<&ClassicProtocol> {
        self.protocols.iter().find(|protocol| &*protocol.name == name)
    }

    /// Whether a join says what is known already. What is decoded from the metadata is the same if that is.
    pub(super) fn says(&self, protocols: &[ClassicProtocol]) -> bool {
        let is_same = |(known, said): (&ClassicProtocol, &ClassicProtocol)| {
            known.name == said.name && known.metadata == said.metadata
        };
        self.protocols.len() == protocols.len() && self.protocols.iter().zip(protocols).all(is_same)
    }

    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    /// Waits for an answer. It cannot heartbeat meanwhile.
    pub(super) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}

/// All members, with what is counted of them.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_id: BTreeMap<Arc<str>, Member>,
    /// Ids of static members by instance id.
    by_instance: BTreeMap<Arc<str>, Arc<str>>,
    /// How many members support a protocol.
    supporters: BTreeMap<Arc<str>, usize>,
    /// How many members wait in a join.
    joining: usize,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many members wait in a join.
    pub(super) fn joining(&self) -> usize {
        self.joining
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// For changes of what is not counted.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    /// Id of the member with this instance id.
    pub(super) fn of_instance(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.by_instance.get(instance_id)
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// Adds a member, in place of one with the same id.
    pub(super) fn insert(&mut self, member: Member) {
        self.remove(&Arc::clone(&member.id));
        for name in distinct_names(&member.protocols) {
            *self.supporters.entry(Arc::clone(name)).or_default() += 1;
        }
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.insert(Arc::clone(instance_id), Arc::clone(&member.id));
        }
        self.joining += usize::from(member.is_joining());
        self.by_id.insert(Arc::clone(&member.id), member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        for name in distinct_names(&member.protocols) {
            if let Some(count) = self.supporters.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supporters.remove(name);
                }
            }
        }
        if let Some(instance_id) = &member.instance_id
            && self.by_instance.get(instance_id).is_some_and(|known| *known == member.id)
        {
            self.by_instance.remove(instance_id);
        }
        self.joining -= usize::from(member.is_joining());
        Some(member)
    }

    /// Takes over what a member says of itself in a join.
    pub(super) fn update(&mut self, id: &str, join: &JoinGroup<'_>) {
        if let Some(mut member) = self.remove(id) {
            member.protocols.clone_from(&join.protocols);
            member.rebalance_timeout_ms = join.rebalance_timeout_ms;
            member.session_timeout_ms = join.session_timeout_ms;
            self.insert(member);
        }
    }

    /// Lets a member wait in a join; gives the join that it had been waiting in.
    pub(super) fn start_joining(&mut self, id: &str, token: Token) -> Option<Token> {
        let older = self.by_id.get_mut(id)?.joining.replace(token);
        self.joining += usize::from(older.is_none());
        older
    }

    /// Takes the join that a member waits in.
    pub(super) fn stop_joining(&mut self, id: &str) -> Option<Token> {
        let token = self.by_id.get_mut(id)?.joining.take();
        self.joining -= usize::from(token.is_some());
        token
    }

    /// Whether some protocol of a new or changed member is supported by all members.
    pub(super) fn share_a_protocol(&self, protocols: &[ClassicProtocol]) -> bool {
        let count = |name: &str| self.supporters.get(name).copied().unwrap_or_default();
        protocols.iter().any(|protocol| count(&protocol.name) == self.len())
    }

    /// The protocol that most members prefer among those that all support. A tie goes to the one that `leader` likes
    /// best. `None` if there is no such protocol.
    pub(super) fn vote(&self, leader: Option<&str>) -> Option<Arc<str>> {
        let is_candidate = |name: &Arc<str>| self.supporters.get(name) == Some(&self.len());
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.iter() {
            if let Some(protocol) = member.protocols.iter().find(|protocol| is_candidate(&protocol.name)) {
                *votes.entry(&protocol.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let of_leader = leader.and_then(|id| self.get(id)).map(Member::protocols).unwrap_or_default();
        let preferred = of_leader.iter().map(|protocol| &protocol.name);
        let winner = preferred.chain(votes.keys().copied()).find(|name| votes.get(name) == Some(&most))?;
        Some(Arc::clone(winner))
    }

    /// The longest time that a member asks for in a rebalance.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self.iter().map(|member| member.rebalance_timeout_ms).max();
        longest.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
    }
}

/// A client may name a protocol twice; it counts once.
fn distinct_names(protocols: &[ClassicProtocol]) -> BTreeSet<&Arc<str>> {
    protocols.iter().map(|protocol| &protocol.name).collect()
}
