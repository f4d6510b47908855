//! Which broker a question is for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicName, TopicPartition};
use highwater_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse, MetadataResponse};

use super::each::Each;
use crate::ClientError;
use crate::error::check;
use crate::io::{Deadline, Io};

/// What came of one round for each partition.
pub(super) type Round<T> = Vec<(TopicPartition, Result<T, ClientError>)>;

/// Waits for all of some futures at once.
pub(super) async fn join_all<'a, T>(futures: impl IntoIterator<Item = impl Future<Output = T> + 'a>) -> Vec<T> {
    enum Slot<'a, T> {
        Running(Pin<Box<dyn Future<Output = T> + 'a>>),
        Ended(Option<T>),
    }
    let mut slots: Vec<Slot<'a, T>> = Vec::new();
    for future in futures {
        slots.push(Slot::Running(Box::pin(future)));
    }
    std::future::poll_fn(|context| {
        let mut is_pending = false;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *slot = Slot::Ended(Some(value)),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let ended = slots.into_iter().filter_map(|slot| match slot {
        Slot::Ended(value) => value,
        Slot::Running(_) => None,
    });
    ended.collect()
}

impl Io {
    /// Tries again, with growing pauses, while another attempt may help and there is time.
    pub(super) async fn retry<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError> {
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if may_help(&error) && self.pause(&mut failures, deadline).await => {}
                result => return result,
            }
        }
    }

    /// Waits before another attempt. Whether there is time for one.
    pub(super) async fn pause(&self, failures: &mut u32, deadline: Deadline) -> bool {
        *failures += 1;
        let backoff = self.backoff_ms(*failures, self.config.retry_backoff, self.config.retry_backoff_max);
        let again = self.now().plus_ms(backoff);
        if deadline.at <= again {
            return false;
        }
        self.sleep_until(again).await;
        true
    }

    /// Asks the leader of each partition with `ask`, and again those that turn out to be led by somebody else.
    pub(super) async fn per_leader<T, F: Future<Output = Result<Round<T>, ClientError>>>(
        self: &Rc<Self>,
        partitions: Vec<TopicPartition>,
        deadline: Deadline,
        ask: impl Fn(NodeId, Vec<TopicPartition>) -> F,
    ) -> Result<Each<TopicPartition, T>, ClientError> {
        let mut results: BTreeMap<TopicPartition, Result<T, ClientError>> = BTreeMap::new();
        let mut left = partitions.clone();
        let mut failures = 0;
        while !left.is_empty() {
            let (by_leader, lost) = self.leaders(&left, deadline).await?;
            let asked = by_leader.into_iter().map(|(leader, partitions)| {
                let answer = ask(leader, partitions.clone());
                async move { (partitions, answer.await) }
            });
            let mut round: Round<T> = lost.into_iter().map(|(at, error)| (at, Err(error))).collect();
            for (partitions, answer) in join_all(asked).await {
                match answer {
                    Ok(answered) => round.extend(answered),
                    Err(error) => round.extend(partitions.into_iter().map(|at| (at, Err(error.clone())))),
                }
            }
            left.clear();
            for (at, result) in round {
                if result.as_ref().is_err_and(is_misrouted) {
                    left.push(at.clone());
                }
                results.insert(at, result);
            }
            if !left.is_empty() && !self.pause(&mut failures, deadline).await {
                break;
            }
        }
        let missing = || Err(ClientError::of(ErrorCode::UnknownTopicOrPartition));
        let in_order = partitions.into_iter().map(|at| {
            let result = results.remove(&at).unwrap_or_else(missing);
            (at, result)
        });
        Ok(Each::new(in_order.collect()))
    }

    /// The partitions by who leads them, and those that nobody does.
    async fn leaders(
        self: &Rc<Self>,
        partitions: &[TopicPartition],
        deadline: Deadline,
    ) -> Result<(BTreeMap<NodeId, Vec<TopicPartition>>, Vec<(TopicPartition, ClientError)>), ClientError> {
        let topics: BTreeSet<&TopicName> = partitions.iter().map(|at| &at.topic).collect();
        let answer = self.metadata(Some(topics.into_iter().map(TopicName::as_str)), false, deadline).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        self.take_over(&response, false);
        let mut leaders: BTreeMap<(String, u32), Result<NodeId, ClientError>> = BTreeMap::new();
        let mut errors: BTreeMap<String, ClientError> = BTreeMap::new();
        for topic in &response.topics {
            let name = topic.name.as_deref().unwrap_or_default().to_owned();
            if let Err(error) = check(topic.error_code, None) {
                errors.insert(name, error);
                continue;
            }
            for partition in &topic.partitions {
                let leader = NodeId::from_wire(partition.leader_id);
                let leader = leader.ok_or_else(|| ClientError::of(ErrorCode::LeaderNotAvailable));
                if let Some(index) = PartitionIndex::from_wire(partition.partition_index) {
                    leaders.insert((name.clone(), index.value()), leader);
                }
            }
        }
        let (mut by_leader, mut lost) = (BTreeMap::<NodeId, Vec<TopicPartition>>::new(), Vec::new());
        for at in partitions {
            let key = (at.topic.as_str().to_owned(), at.partition.value());
            match (leaders.get(&key), errors.get(at.topic.as_str())) {
                (Some(Ok(leader)), _) => by_leader.entry(*leader).or_default().push(at.clone()),
                (Some(Err(error)), _) | (None, Some(error)) => lost.push((at.clone(), error.clone())),
                (None, None) => lost.push((at.clone(), ClientError::of(ErrorCode::UnknownTopicOrPartition))),
            }
        }
        Ok((by_leader, lost))
    }

    /// Asks a group's coordinator with `ask`, and another one if that is not it any more.
    pub(super) async fn per_coordinator<T, F: Future<Output = Result<T, ClientError>>>(
        self: &Rc<Self>,
        group: &str,
        deadline: Deadline,
        ask: impl Fn(NodeId) -> F,
    ) -> Result<T, ClientError> {
        self.retry(deadline, || async {
            let coordinator = self.coordinator(group, deadline).await?;
            ask(coordinator).await
        })
        .await
    }

    async fn coordinator(self: &Rc<Self>, group: &str, deadline: Deadline) -> Result<NodeId, ClientError> {
        self.know_nodes(deadline).await?;
        let link = self.any_link(crate::io::Lane::default(), deadline).await?;
        let version = self.version(link, highwater_wire::ApiKey::FindCoordinator, i16::MAX)?;
        let request = if version < BATCHED_COORDINATORS {
            FindCoordinatorRequest { key: group.into(), ..FindCoordinatorRequest::default() }
        } else {
            FindCoordinatorRequest { coordinator_keys: vec![group.into()].into(), ..FindCoordinatorRequest::default() }
        };
        let answer = self.ask(link, version, self.request_deadline(deadline), &request).await?;
        let response: FindCoordinatorResponse<'_> = answer.decode()?;
        check(response.error_code, response.error_message.as_deref())?;
        let node = if version < BATCHED_COORDINATORS {
            response.node_id
        } else {
            let found = response.coordinators.iter().next().ok_or_else(|| answer.lacks("the coordinator"))?;
            check(found.error_code, found.error_message.as_deref())?;
            found.node_id
        };
        NodeId::from_wire(node).ok_or_else(|| ClientError::of(ErrorCode::CoordinatorNotAvailable))
    }

    /// Every broker that is known to be there.
    pub(super) async fn all_nodes(self: &Rc<Self>, deadline: Deadline) -> Result<Vec<NodeId>, ClientError> {
        let answer = self.metadata(Some(std::iter::empty()), false, deadline).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        self.take_over(&response, false);
        Ok(response.brokers.iter().filter_map(|broker| NodeId::from_wire(broker.node_id)).collect())
    }
}

/// First version of FindCoordinator that asks for several at once.
const BATCHED_COORDINATORS: i16 = 4;

/// Whether the broker that was asked is not the right one, or not yet.
fn is_misrouted(error: &ClientError) -> bool {
    let code = error.code();
    matches!(error, ClientError::Disconnected { .. } | ClientError::Connect { .. })
        || code.is_some_and(|code| {
            matches!(
                code,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
                    | ErrorCode::OffsetNotAvailable
                    | ErrorCode::KafkaStorageError
            )
        })
}

/// Whether another attempt may help. What is not there is not waited for.
fn may_help(error: &ClientError) -> bool {
    let is_absent = matches!(error.code(), Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId));
    error.is_retriable() && !is_absent && !matches!(error, ClientError::Timeout { .. })
}
