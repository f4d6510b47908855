//! Questions of the application for what is committed.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{ErrorCode, Ticks, TopicPartition};

use crate::machine::Life;
use crate::pending::Pending;
use crate::retry::Retry;
use crate::{
    Consumer, Failure, OffsetAndMetadata, OffsetFetchAnswer, OffsetFetchRequest, Output, QueryError, Request,
    RequestId, Target,
};

type Found = BTreeMap<TopicPartition, Option<OffsetAndMetadata>>;

#[derive(Debug)]
pub(crate) struct Query<T> {
    token: T,
    partitions: BTreeSet<TopicPartition>,
    deadline: Ticks,
    retry: Retry,
    request: Option<RequestId>,
}

impl<T> Consumer<T> {
    /// Asks what is stored for partitions, whoever has them. Ends in an [`Output::CommittedOffsets`].
    pub fn committed(&mut self, now: Ticks, partitions: BTreeSet<TopicPartition>, token: T) {
        let result = if self.life != Life::Open {
            Some(Err(QueryError::Closed))
        } else if self.group.is_none() {
            Some(Err(QueryError::NoGroup))
        } else if Self::QUERIES_MAX <= self.queries.len() {
            Some(Err(QueryError::TooMany))
        } else if partitions.is_empty() {
            Some(Ok(BTreeMap::new()))
        } else {
            None
        };
        if let Some(result) = result {
            self.outputs.push_back(Output::CommittedOffsets { token, result });
            return;
        }
        let deadline = now.plus_ms(self.config.default_api_timeout_ms.into());
        self.queries.push(Query { token, partitions, deadline, retry: Retry::default(), request: None });
        self.run(now);
    }

    pub(crate) fn step_queries(&mut self, now: Ticks) {
        while let Some(expired) = self.queries.iter().position(|query| query.deadline <= now) {
            self.end_query(expired, Err(QueryError::TimedOut));
        }
        let Some(group) = &self.group else { return };
        if let Some(code) = group.refusal() {
            while !self.queries.is_empty() {
                self.end_query(0, Err(QueryError::Refused { code }));
            }
            return;
        }
        let (group, coordinator) = (group.id.clone(), group.coordinator());
        for at in 0..self.queries.len() {
            let query = &self.queries[at];
            let (deadline, retry) = (query.deadline, query.retry.at());
            self.hurry(deadline);
            if self.queries[at].request.is_some() {
                continue;
            }
            if !self.queries[at].retry.is_due(now) {
                retry.into_iter().for_each(|at| self.hurry(at));
                continue;
            }
            let Some(coordinator) = coordinator else { continue };
            let partitions = self.queries[at].partitions.iter().cloned().collect();
            let request = OffsetFetchRequest { group: group.clone(), member: None, partitions, require_stable: true };
            let id = self.request(Target::Coordinator(coordinator), Request::OffsetFetch(request), Pending::Query);
            self.queries[at].request = Some(id);
        }
    }

    pub(crate) fn query_answered(&mut self, now: Ticks, id: RequestId, outcome: Result<OffsetFetchAnswer, Failure>) {
        let Some(at) = self.queries.iter().position(|query| query.request == Some(id)) else { return };
        self.queries[at].request = None;
        let code = match outcome {
            Err(Failure::Unsupported) => ErrorCode::UnsupportedVersion,
            Err(Failure::Disconnected | Failure::TimedOut) => ErrorCode::NotCoordinator,
            Ok(answer) if answer.error.is_none() => match found(&self.queries[at].partitions, answer) {
                Ok(found) => return self.end_query(at, Ok(found)),
                Err(code) => code,
            },
            Ok(answer) => answer.error,
        };
        if !code.is_retriable() {
            return self.end_query(at, Err(QueryError::Refused { code }));
        }
        self.queries[at].retry.fail(now, self.backoff, &mut self.random);
        if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            self.lose_coordinator(now);
        }
    }

    fn end_query(&mut self, at: usize, result: Result<Found, QueryError>) {
        let token = self.queries.remove(at).token;
        self.outputs.push_back(Output::CommittedOffsets { token, result });
    }

    /// Gives up whatever has not been answered.
    pub(crate) fn end_queries(&mut self) {
        while !self.queries.is_empty() {
            self.end_query(0, Err(QueryError::Closed));
        }
    }
}

/// What was asked for of an answer, or the first thing that is wrong.
fn found(asked: &BTreeSet<TopicPartition>, answer: OffsetFetchAnswer) -> Result<Found, ErrorCode> {
    let mut found = Found::new();
    for (partition, committed) in answer.partitions {
        if asked.contains(&partition) {
            found.insert(partition, committed?);
        }
    }
    // Not an answer to what was asked; as if the broker had been busy.
    if found.len() == asked.len() { Ok(found) } else { Err(ErrorCode::RequestTimedOut) }
}
