//! The producer's machine on the I/O thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use highwater_producer::{
    CompletedBatch, Input, Output, PartitionUpdate, ProduceError, ProduceRequest, RecordMetadata, TopicUpdate,
};
use highwater_types::{ErrorCode, NodeId, ProducerEpoch, ProducerId, TopicName, TopicPartition};
use highwater_wire::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceResponse};

use super::core::{Core, Token};
use super::wire;
use crate::ClientError;
use crate::client::Life;
use crate::error::check;
use crate::io::{Io, Lane, Link, Peer};
use crate::metadata::{InterestGuard, TopicMetadata, Wanted};

/// Told how every record ended, before its sender is.
pub(super) type Acknowledge = dyn Fn(&TopicPartition, &Result<RecordMetadata, ProduceError>) + Send + Sync;

/// Does what the machine says, until it is closed.
pub(super) struct Driver {
    io: Rc<Io>,
    core: Arc<Core>,
    acknowledge: Option<Arc<Acknowledge>>,
    lane: Lane,
    links: RefCell<BTreeMap<NodeId, Link>>,
    topics: RefCell<BTreeSet<TopicName>>,
    interest: InterestGuard,
    /// The thread goes on until everything is sent, also if nobody has the client any more.
    _life: Arc<Life>,
}

impl Driver {
    pub(super) fn new(
        io: &Rc<Io>,
        core: Arc<Core>,
        acknowledge: Option<Arc<Acknowledge>>,
        life: Arc<Life>,
    ) -> Rc<Self> {
        let topics = Wanted::Names(BTreeSet::new());
        let interest = InterestGuard::new(io, topics, true, Arc::clone(&core.work));
        Rc::new(Self {
            lane: io.new_lane(),
            io: Rc::clone(io),
            core,
            acknowledge,
            links: RefCell::default(),
            topics: RefCell::default(),
            interest,
            _life: life,
        })
    }

    pub(super) async fn run(self: Rc<Self>) {
        let mut seen = 0;
        let mut outputs: Vec<Output<Token>> = Vec::new();
        let mut done: Vec<CompletedBatch<Token>> = Vec::new();
        loop {
            let generation = self.io.cluster.borrow().generation;
            let news = (generation != seen).then(|| self.news());
            seen = generation;
            let due = {
                let mut state = self.core.state.lock();
                let now = state.now(&self.core.io);
                let Some(machine) = &mut state.machine else { return };
                done.drain(..).for_each(|batch| machine.recycle(batch));
                if machine.poll_timeout().is_some_and(|due| due <= now) {
                    machine.handle_timeout(now);
                }
                if let Some(news) = news {
                    machine.handle(now, Input::Metadata(news));
                }
                while let Some(output) = machine.poll_output() {
                    outputs.push(output);
                }
                state.due = state.machine.as_ref().and_then(highwater_producer::Producer::poll_timeout);
                state.due
            };
            let is_idle = outputs.is_empty();
            for output in outputs.drain(..) {
                if self.perform(output, &mut done) {
                    return;
                }
            }
            if !is_idle {
                // What was done may have led to more.
                self.core.work.notify();
            }
            let work = std::future::poll_fn(|context| self.core.work.poll(context));
            match due {
                Some(due) => drop(self.io.until(due, work).await),
                None => work.await,
            }
        }
    }

    /// Whether that was the last.
    fn perform(self: &Rc<Self>, output: Output<Token>, done: &mut Vec<CompletedBatch<Token>>) -> bool {
        match output {
            Output::Completed(mut batch) => {
                self.tell(&mut batch);
                done.push(batch);
            }
            Output::Send(request) => self.send(request),
            Output::Connect(node) => {
                let driver = Rc::clone(self);
                self.io.spawn(async move { driver.connect(node).await });
            }
            Output::Disconnect(node) => {
                let link = self.links.borrow_mut().remove(&node);
                if let Some(link) = link {
                    let what = format!("an answer of broker {node}");
                    let timeout_ms = u64::try_from(self.io.config.request_timeout.as_millis()).unwrap_or(u64::MAX);
                    self.io.disconnect(link, &ClientError::Timeout { what, timeout_ms, last: None });
                }
                self.core.input(Input::Disconnected(node));
            }
            Output::WantTopic(topic) => {
                self.topics.borrow_mut().insert(topic);
                self.interest.change(Wanted::Names(self.topics.borrow().clone()));
            }
            Output::RefreshMetadata => self.io.want_metadata(),
            Output::InitProducerId => {
                let driver = Rc::clone(self);
                self.io.spawn(async move { driver.identify().await });
            }
            Output::Wake(waiter, wake) => {
                let cell = self.core.state.lock().waiters.remove(&waiter);
                if let Some(cell) = cell {
                    cell.wake(wake);
                }
            }
            Output::Flushed(id) => {
                let completer = self.core.state.lock().flushes.remove(&id);
                if let Some(completer) = completer {
                    completer.complete(Ok(()));
                }
            }
            Output::Closed => {
                let closing = {
                    let mut state = self.core.state.lock();
                    state.is_closed = true;
                    std::mem::take(&mut state.closing)
                };
                closing.into_iter().for_each(|completer| completer.complete(Ok(())));
                return true;
            }
        }
        false
    }

    fn tell(&self, batch: &mut CompletedBatch<Token>) {
        match &self.acknowledge {
            None => batch.for_each(|(token, result)| token.tell(result)),
            Some(acknowledge) => {
                let at = TopicPartition { topic: batch.topic().clone(), partition: batch.partition_index() };
                batch.for_each(|(token, result)| {
                    acknowledge(&at, &result);
                    token.tell(result);
                });
            }
        }
    }

    fn send(self: &Rc<Self>, request: ProduceRequest) {
        let (id, node, acks) = (request.id, request.node, request.acks);
        let link = self.links.borrow().get(&node).copied();
        let Some(link) = link else { return self.core.input(Input::Disconnected(node)) };
        let submitted = {
            let cluster = self.io.cluster.borrow();
            wire::submit(&self.io, link, &cluster, request)
        };
        match submitted {
            Ok(submitted) => {
                let driver = Rc::clone(self);
                self.io.spawn(async move {
                    // The machine gives the connection up before this.
                    let deadline = driver.io.within(driver.io.config.request_timeout.max(ANSWER_TIMEOUT_LEAST) * 2);
                    let result = driver.io.answered(submitted.0, deadline).await;
                    let input = match result {
                        Ok(_) if acks == highwater_producer::Acks::Zero => Ok(Input::Sent(id)),
                        Ok(answer) => answer.decode().map(|response: ProduceResponse<'_>| {
                            driver.learn(&response);
                            Input::Answered(id, wire::answers(&response, &submitted.1))
                        }),
                        Err(error) => Err(error),
                    };
                    match input {
                        Ok(input) => driver.core.input(input),
                        Err(error) => driver.lost(node, link, &error),
                    }
                });
            }
            Err(ClientError::Disconnected { .. }) => {
                self.links.borrow_mut().remove(&node);
                self.core.input(Input::Disconnected(node));
            }
            Err(error) => {
                tracing::warn!(%error, "a batch cannot be sent");
                self.core.input(Input::Failed(id, ErrorCode::UnsupportedVersion));
            }
        }
    }

    /// The connection is of no use any more. Said once for all that was under way on it.
    fn lost(&self, node: NodeId, link: Link, error: &ClientError) {
        self.io.disconnect(link, error);
        let mut links = self.links.borrow_mut();
        if links.get(&node) == Some(&link) {
            links.remove(&node);
            drop(links);
            self.core.input(Input::Disconnected(node));
        }
    }

    async fn connect(&self, node: NodeId) {
        let deadline = self.io.within(self.io.config.connection_setup_timeout);
        match self.io.ready(Peer::Node(node), self.lane, deadline).await {
            Ok(link) => {
                self.links.borrow_mut().insert(node, link);
                self.core.input(Input::Connected(node));
            }
            Err(error) => {
                tracing::debug!(%error, %node, "no connection for records");
                self.core.input(Input::Disconnected(node));
            }
        }
    }

    /// Where leaders are that a broker has named in place of itself.
    fn learn(&self, response: &ProduceResponse<'_>) {
        for endpoint in &response.node_endpoints {
            let (host, rack) = (endpoint.host.as_ref(), endpoint.rack.as_deref());
            self.io.learn_node(endpoint.node_id, host, endpoint.port, rack);
        }
    }

    async fn identify(&self) {
        let deadline = self.io.within(self.io.config.default_api_timeout);
        let identity = self.ask_identity(deadline).await.map_err(|error| {
            tracing::debug!(%error, "no producer id");
            error.code().unwrap_or(ErrorCode::NetworkException)
        });
        if identity.is_err() {
            let pause = self.io.backoff_ms(1, self.io.config.retry_backoff, self.io.config.retry_backoff_max);
            self.io.sleep_until(self.io.now().plus_ms(pause)).await;
        }
        self.core.input(Input::ProducerId(identity));
    }

    async fn ask_identity(&self, deadline: crate::io::Deadline) -> Result<(ProducerId, ProducerEpoch), ClientError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let answer = self.io.ask_any(i16::MAX, deadline, &request).await?;
        let response: InitProducerIdResponse<'_> = answer.decode()?;
        check(response.error_code, None)?;
        let id = ProducerId::from_wire(response.producer_id).ok_or_else(|| answer.lacks("a producer id"))?;
        let epoch = ProducerEpoch::from_wire(response.producer_epoch).ok_or_else(|| answer.lacks("an epoch"))?;
        Ok((id, epoch))
    }

    /// What is known of the producer's topics.
    fn news(&self) -> Vec<TopicUpdate> {
        let cluster = self.io.cluster.borrow();
        let topics = self.topics.borrow();
        let known = topics.iter().filter_map(|name| Some((name, cluster.topics.get(name)?)));
        let rack = |id: Option<NodeId>| id.and_then(|id| cluster.nodes.get(&id)?.rack.clone());
        let update = |(name, topic): (&TopicName, &TopicMetadata)| TopicUpdate {
            name: name.clone(),
            id: topic.id,
            partitions: topic.partitions.as_ref().map_err(|code| *code).map(|partitions| {
                let partition = |known: &crate::metadata::PartitionMetadata| PartitionUpdate {
                    leader: known.leader,
                    leader_epoch: known.leader_epoch,
                    leader_rack: rack(known.leader),
                };
                partitions.iter().map(partition).collect()
            }),
        };
        known.map(update).collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.core.end();
    }
}

/// However short `request.timeout.ms` is, the machine is the first to notice that an answer does not come.
const ANSWER_TIMEOUT_LEAST: Duration = Duration::from_secs(1);
