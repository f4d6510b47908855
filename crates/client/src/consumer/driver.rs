//! The consumer's machine on the I/O thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use highwater_consumer::{
    Answer, Failure, Input, MetadataUpdate, Output, PartitionUpdate, Request, RequestId, Target, TopicUpdate,
    WantedTopics,
};
use highwater_types::{TopicName, Uuid};

use super::core::{Core, Token};
use super::wire;
use crate::ClientError;
use crate::client::Life;
use crate::io::{Io, Lane, Link, Peer};
use crate::metadata::{InterestGuard, PartitionMetadata, Wanted};

/// Does what the machine says, until it is closed.
pub(super) struct Driver {
    io: Rc<Io>,
    core: Arc<Core>,
    /// For fetches, and whatever else leaders are asked.
    leaders: Lane,
    /// For the coordinator.
    coordinator: Lane,
    interest: InterestGuard,
    wanted: RefCell<WantedTopics>,
    names: RefCell<Names>,
    _life: Arc<Life>,
}

/// Topics by their ids.
pub(super) type Names = BTreeMap<Uuid, TopicName>;

impl Driver {
    pub(super) fn new(io: &Rc<Io>, core: Arc<Core>, life: Arc<Life>) -> Rc<Self> {
        let interest = InterestGuard::new(io, Wanted::Names(BTreeSet::new()), false, Arc::clone(&core.work));
        Rc::new(Self {
            leaders: io.new_lane(),
            coordinator: io.new_lane(),
            io: Rc::clone(io),
            core,
            interest,
            wanted: RefCell::new(WantedTopics::Names(BTreeSet::new())),
            names: RefCell::default(),
            _life: life,
        })
    }

    pub(super) async fn run(self: Rc<Self>) {
        let mut seen = 0;
        let mut outputs: Vec<Output<Token>> = Vec::new();
        loop {
            let generation = self.io.cluster.borrow().generation;
            let news = (generation != seen).then(|| self.news());
            seen = generation;
            let due = {
                let mut state = self.core.state.lock();
                let now = self.io.now();
                let Some(machine) = &mut state.machine else { return };
                if machine.poll_timeout().is_some_and(|due| due <= now) {
                    machine.handle_timeout(now);
                }
                if let Some(news) = news {
                    machine.handle(now, Input::Metadata(news));
                }
                while let Some(output) = machine.poll_output() {
                    outputs.push(output);
                }
                let due = machine.poll_timeout();
                state.due = due;
                due
            };
            let is_idle = outputs.is_empty();
            for output in outputs.drain(..) {
                if self.perform(output) {
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
    fn perform(self: &Rc<Self>, output: Output<Token>) -> bool {
        match output {
            Output::Request { id, to, request } => {
                let driver = Rc::clone(self);
                self.io.spawn(async move {
                    let result = driver.ask(to, &request).await;
                    driver.tell(id, &request, result);
                });
            }
            Output::WantTopics(wanted) => {
                let topics = match &wanted {
                    WantedTopics::All => Wanted::All,
                    WantedTopics::Names(names) => Wanted::Names(names.clone()),
                };
                *self.wanted.borrow_mut() = wanted;
                self.interest.change(topics);
            }
            Output::RefreshMetadata => self.io.want_metadata(),
            Output::EventReady => self.core.wake(),
            Output::Committed { token, progress, result } => {
                if result.is_ok() {
                    self.core.interceptors.on_commit(&progress);
                }
                match token {
                    Some(Token::Commit(completer)) => completer.complete(result.map_err(ClientError::from)),
                    Some(Token::Committed(_)) | None => {
                        if let Err(error) = result {
                            tracing::warn!(%error, "offsets were not committed");
                        }
                    }
                }
            }
            Output::CommittedOffsets { token, result } => {
                if let Token::Committed(completer) = token {
                    completer.complete(result.map_err(ClientError::from));
                }
            }
            Output::Closed => return true,
        }
        false
    }

    async fn ask(self: &Rc<Self>, to: Target, request: &Request) -> Result<Answer, ClientError> {
        let longer = match request {
            Request::JoinGroup(join) => u64::from(join.rebalance_timeout_ms) + JOIN_SLACK_MS,
            Request::Fetch(fetch) => u64::from(fetch.wait_ms_max),
            _ => 0,
        };
        let deadline = self.io.within(self.io.config.request_timeout + Duration::from_millis(longer));
        let setup = self.io.within(self.io.config.connection_setup_timeout);
        let link: Link = match to {
            Target::Node(id) => self.io.ready(Peer::Node(id), self.leaders, setup).await?,
            Target::Coordinator(id) => self.io.ready(Peer::Node(id), self.coordinator, setup).await?,
            Target::AnyBroker => self.io.any_link(Lane::default(), deadline).await?,
        };
        let submitted = wire::submit(&self.io, link, request)?;
        let answer = self.io.answered(submitted, deadline).await?;
        wire::read(&self.io, request, &answer, &self.names.borrow())
    }

    fn tell(&self, id: RequestId, request: &Request, result: Result<Answer, ClientError>) {
        let failure = match result {
            Ok(answer) => return self.core.input(Input::Answered(id, answer)),
            Err(ClientError::Timeout { .. }) => Failure::TimedOut,
            Err(error @ (ClientError::Version { .. } | ClientError::Unsupported { .. })) => {
                tracing::debug!(%error, "the broker cannot be asked that");
                Failure::Unsupported
            }
            Err(error) => {
                tracing::debug!(%error, request = wire::name(request), "no answer");
                Failure::Disconnected
            }
        };
        self.core.input(Input::Failed(id, failure));
    }

    /// What is known of the consumer's topics.
    fn news(&self) -> MetadataUpdate {
        let cluster = self.io.cluster.borrow();
        let wanted = self.wanted.borrow();
        let is_wanted = |name: &TopicName| match &*wanted {
            WantedTopics::All => true,
            WantedTopics::Names(names) => names.contains(name),
        };
        let partition =
            |known: &PartitionMetadata| PartitionUpdate { leader: known.leader, leader_epoch: known.leader_epoch };
        let known = cluster.topics.iter().filter(|(name, _)| is_wanted(name));
        let topics: Vec<TopicUpdate> = known
            .map(|(name, topic)| TopicUpdate {
                name: name.clone(),
                id: topic.id,
                is_internal: topic.is_internal,
                partitions: match &topic.partitions {
                    Ok(partitions) => Ok(partitions.iter().map(partition).collect()),
                    Err(code) => Err(*code),
                },
            })
            .collect();
        let names = topics.iter().filter_map(|topic| Some((topic.id?.0, topic.name.clone())));
        *self.names.borrow_mut() = names.collect();
        MetadataUpdate { topics, is_complete: cluster.is_complete() && *wanted == WantedTopics::All }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.core.end();
    }
}

/// How much longer than a rebalance the answer to JoinGroup may take.
const JOIN_SLACK_MS: u64 = 5_000;
