//! What a classic group allows to be done with its offsets.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_types::ErrorCode;

use super::{CONSUMER, ClassicGroup, Phase};
use crate::request::OffsetCommit;
use crate::shard::{Expiration, Turn};

impl ClassicGroup {
    /// Whether a commit may be made; it counts as a heartbeat.
    pub(crate) fn validate_commit(&mut self, turn: &mut Turn<'_>, commit: &OffsetCommit<'_>) -> Result<(), ErrorCode> {
        let names_nobody = commit.generation_or_epoch < 0;
        if names_nobody && self.phase == Phase::Empty {
            return Ok(());
        }
        if names_nobody && commit.member.is_empty() && commit.instance_id.is_none() {
            // While a group has members, only they may commit.
            return Err(ErrorCode::UnknownMemberId);
        }
        let id = self.validate_member(commit.member, commit.instance_id)?;
        if commit.generation_or_epoch != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if !self.members[&id].is_waiting() {
            self.arm_session(turn, &id);
        }
        Ok(())
    }

    /// Whether an administrator may delete offsets: of consumers those of topics that they do not subscribe to.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.phase == Phase::Empty || self.is_of_consumers() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether members subscribe to a topic, as far as can be known.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match self.subscribed() {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// When its offsets expire (KIP-211).
    pub(crate) fn expiration(&self) -> Expiration {
        if self.protocol_type.is_none() {
            return Expiration::SinceCommit { subscribed: BTreeSet::new() };
        }
        match (self.phase, self.subscribed()) {
            (Phase::Empty, _) => Expiration::Since(self.since),
            (Phase::Stable, Some(subscribed)) if self.is_of_consumers() => Expiration::SinceCommit { subscribed },
            // While members come and go nobody knows what they will subscribe to (KAFKA-13636).
            _ => Expiration::Never,
        }
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// What the members of this generation subscribe to; `None` where one said what cannot be decoded.
    fn subscribed(&self) -> Option<BTreeSet<Arc<str>>> {
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref().filter(|_| self.is_of_consumers())?;
        let subscriptions = self.members.values().map(|member| member.subscription(protocol));
        let subscriptions: Vec<_> = subscriptions.collect::<Option<_>>()?;
        Some(subscriptions.into_iter().flat_map(|subscription| subscription.topics.iter().cloned()).collect())
    }
}
