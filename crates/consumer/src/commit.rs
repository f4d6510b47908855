//! Commits, one after the other.

use std::collections::VecDeque;

use highwater_types::{ErrorCode, Ticks, TopicPartition};

use crate::machine::Life;
use crate::pending::Pending;
use crate::retry::Retry;
use crate::{
    CommitError, Consumer, Failure, OffsetAndMetadata, OffsetCommitRequest, Output, Progress, Request, RequestId,
    Target,
};

/// Commits that have not ended, in order; only the first is under way, so that none overtakes another.
#[derive(Debug)]
pub(crate) struct Commits<T> {
    queue: VecDeque<Commit<T>>,
    /// When to commit by itself.
    due: Ticks,
}

#[derive(Debug)]
struct Commit<T> {
    /// `None` for one that the consumer makes by itself.
    token: Option<T>,
    progress: Progress,
    /// Whether a group has to have this consumer as a member for it.
    is_member: bool,
    /// When it was made, in numbers as versions are.
    made: u64,
    deadline: Ticks,
    retry: Retry,
    request: Option<RequestId>,
}

impl<T> Commits<T> {
    pub(crate) const fn new(due: Ticks) -> Self {
        Self { queue: VecDeque::new(), due }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the consumer waits for one of its own.
    pub(crate) fn has_own(&self) -> bool {
        self.queue.iter().any(|commit| commit.token.is_none())
    }
}

impl<T> Consumer<T> {
    /// Stores how far partitions have been consumed. Ends in an [`Output::Committed`]. Commits are stored in order.
    pub fn commit(&mut self, now: Ticks, progress: Progress, token: T) {
        let is_member = self.subscription.is_by_group();
        let foreign = progress.iter().map(|(partition, _)| partition);
        let foreign = foreign.filter(|_| is_member).find(|partition| !self.partitions.contains_key(*partition));
        let result = if self.life != Life::Open {
            Some(Err(CommitError::Closed))
        } else if self.group.is_none() {
            Some(Err(CommitError::NoGroup))
        } else if let Some(partition) = foreign {
            Some(Err(CommitError::NotOwned { partition: partition.clone() }))
        } else if Self::COMMITS_MAX <= self.commits.queue.len() {
            Some(Err(CommitError::TooMany))
        } else if progress.is_empty() {
            Some(Ok(()))
        } else {
            None
        };
        if let Some(result) = result {
            self.outputs.push_back(Output::Committed { token: Some(token), progress, result });
            return;
        }
        self.enqueue(now, progress, Some(token), is_member);
        self.run(now);
    }

    fn enqueue(&mut self, now: Ticks, progress: Progress, token: Option<T>, is_member: bool) {
        let deadline = now.plus_ms(self.config.default_api_timeout_ms.into());
        let (made, retry, request) = (self.number(), Retry::default(), None);
        self.commits.queue.push_back(Commit { token, progress, is_member, made, deadline, retry, request });
        self.go_round();
    }

    /// Stores what has been consumed of some partitions, if that is automatic.
    pub(crate) fn commit_by_itself(&mut self, now: Ticks, which: impl Fn(&TopicPartition) -> bool) {
        if self.group.is_none() || !self.config.is_auto_committing() {
            return;
        }
        let consumed = self.partitions.iter().filter(|(name, _)| which(name));
        let consumed = consumed.filter_map(|(name, known)| Some((name.clone(), known.uncommitted()?.to_commit())));
        let progress: Progress = consumed.collect();
        if !progress.is_empty() {
            let is_member = self.subscription.is_by_group();
            self.enqueue(now, progress, None, is_member);
        }
    }

    pub(crate) fn step_commits(&mut self, now: Ticks) {
        if self.life == Life::Open && self.group.is_some() && self.config.is_auto_committing() {
            if self.commits.due <= now {
                self.commits.due = now.plus_ms(u64::from(self.config.auto_commit_interval_ms).max(1));
                if !self.commits.has_own() {
                    self.commit_by_itself(now, |_| true);
                }
            }
            if self.partitions.values().any(|partition| partition.uncommitted().is_some()) {
                self.hurry(self.commits.due);
            }
        }
        while let Some(expired) = self.commits.queue.iter().position(|commit| commit.deadline <= now) {
            self.end_commit(expired, Err(CommitError::TimedOut));
        }
        if let Some(at) = self.commits.queue.iter().map(|commit| commit.deadline).min() {
            self.hurry(at);
        }
        self.send_commit(now);
    }

    fn send_commit(&mut self, now: Ticks) {
        let Some(group) = &self.group else { return };
        let Some(commit) = self.commits.queue.front() else { return };
        if commit.request.is_some() {
            return;
        }
        if let Some(code) = group.refusal() {
            let first = commit.progress.iter().next().map(|(partition, _)| partition.clone());
            let error = match first {
                Some(partition) if code != ErrorCode::FencedInstanceId => CommitError::Refused { partition, code },
                _ => CommitError::Stale { code },
            };
            self.end_commit(0, Err(error));
            return;
        }
        if !commit.retry.is_due(now) {
            let at = commit.retry.at();
            at.into_iter().for_each(|at| self.hurry(at));
            return;
        }
        if commit.is_member && !self.is_leaving() && self.drop_foreign() {
            return;
        }
        let Some(group) = &self.group else { return };
        let Some(commit) = self.commits.queue.front() else { return };
        let membership = group.membership().filter(|_| commit.is_member);
        if commit.is_member && membership.is_none() {
            self.end_commit(0, Err(CommitError::Stale { code: ErrorCode::UnknownMemberId }));
            return;
        }
        let Some(coordinator) = group.coordinator() else { return };
        let offsets: Vec<(TopicPartition, OffsetAndMetadata)> =
            commit.progress.iter().map(|(partition, at)| (partition.clone(), at.clone())).collect();
        let instance = group.instance.clone().filter(|_| membership.is_some());
        let request = OffsetCommitRequest { group: group.id.clone(), member: membership, instance, offsets };
        let id = self.request(Target::Coordinator(coordinator), Request::OffsetCommit(request), Pending::Commit);
        if let Some(commit) = self.commits.queue.front_mut() {
            commit.request = Some(id);
        }
    }

    /// Leaves out of the next commit what others may have had since it was made: they may have committed more. Whether
    /// that ends it.
    fn drop_foreign(&mut self) -> bool {
        let Some(commit) = self.commits.queue.front_mut() else { return true };
        let made = commit.made;
        let is_kept = |name: &TopicPartition| self.partitions.get(name).is_some_and(|known| known.assigned < made);
        let Some((foreign, _)) = commit.progress.iter().find(|(name, _)| !is_kept(name)) else { return false };
        let error = CommitError::NotOwned { partition: foreign.clone() };
        if commit.token.is_none() {
            commit.progress.retain(is_kept);
            if !commit.progress.is_empty() {
                return false;
            }
        }
        self.end_commit(0, Err(error));
        true
    }

    pub(crate) fn committed_or_not(
        &mut self,
        now: Ticks,
        id: RequestId,
        outcome: Result<Vec<(TopicPartition, ErrorCode)>, Failure>,
    ) {
        let Some(at) = self.commits.queue.iter().position(|commit| commit.request == Some(id)) else { return };
        let commit = &mut self.commits.queue[at];
        commit.request = None;
        let answers = match outcome {
            Ok(answers) => answers,
            Err(Failure::Unsupported) => {
                let first = commit.progress.iter().next().map(|(partition, _)| partition.clone());
                let refused = |partition| CommitError::Refused { partition, code: ErrorCode::UnsupportedVersion };
                let error = first.map_or(CommitError::TimedOut, refused);
                return self.end_commit(at, Err(error));
            }
            Err(Failure::Disconnected | Failure::TimedOut) => {
                commit.retry.fail(now, self.backoff, &mut self.random);
                return self.lose_coordinator(now);
            }
        };
        let is_said = |partition: &TopicPartition| answers.iter().any(|(other, _)| other == partition);
        let is_partial = !commit.progress.iter().all(|(partition, _)| is_said(partition));
        let failed = answers.iter().find(|(_, code)| !code.is_none());
        let Some((partition, code)) = failed.cloned() else {
            if is_partial {
                // Not an answer to what was asked.
                commit.retry.fail(now, self.backoff, &mut self.random);
                return;
            }
            return self.end_commit(at, Ok(()));
        };
        match code {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                commit.retry.fail(now, self.backoff, &mut self.random);
                self.lose_coordinator(now);
            }
            // The member's epoch may have moved on while this was under way.
            ErrorCode::StaleMemberEpoch if self.group.as_ref().is_some_and(|group| group.membership().is_some()) => {
                commit.retry.fail(now, self.backoff, &mut self.random);
            }
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::RebalanceInProgress
            | ErrorCode::FencedInstanceId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::StaleMemberEpoch => {
                self.end_commit(at, Err(CommitError::Stale { code }));
            }
            code if code.is_retriable() => commit.retry.fail(now, self.backoff, &mut self.random),
            code => self.end_commit(at, Err(CommitError::Refused { partition, code })),
        }
    }

    fn end_commit(&mut self, at: usize, result: Result<(), CommitError>) {
        let Some(commit) = self.commits.queue.remove(at) else { return };
        let Commit { token, progress, .. } = commit;
        match &result {
            Ok(()) => {
                self.stats.commits += 1;
                for (name, stored) in progress.iter() {
                    if let Some(partition) = self.partitions.get_mut(name) {
                        partition.stored = Some(stored.offset);
                    }
                }
            }
            Err(_) => self.stats.commits_failed += 1,
        }
        self.outputs.push_back(Output::Committed { token, progress, result });
        self.go_round();
    }

    /// Gives up whatever has not been stored.
    pub(crate) fn end_commits(&mut self) {
        while !self.commits.queue.is_empty() {
            self.end_commit(0, Err(CommitError::Closed));
        }
    }
}
