//! What is known of the cluster: brokers, and the topics that somebody is interested in.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};
use highwater_wire::Message;
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::{MetadataRequest, MetadataResponse};

use crate::ClientError;
use crate::io::{Answer, Deadline, Io, Lane, Link, Notify, Peer};

/// What the brokers have told of themselves last.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) id: Option<String>,
    pub(crate) controller: Option<NodeId>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) topics: BTreeMap<TopicName, TopicMetadata>,
    /// Whether these are all topics that there are.
    is_complete: bool,
    /// How often it was renewed.
    pub(crate) generation: u64,
    interests: BTreeMap<u64, Interest>,
    interests_made: u64,
    /// Somebody wants it renewed.
    wanted: Rc<Notify>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its host, as it is advertised to clients.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub(crate) id: Option<TopicId>,
    pub(crate) is_internal: bool,
    /// In order of their numbers.
    pub(crate) partitions: Result<Vec<PartitionMetadata>, ErrorCode>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) leader: Option<NodeId>,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) isr: Vec<NodeId>,
    pub(crate) offline: Vec<NodeId>,
}

/// Somebody who wants to know of topics.
#[derive(Debug)]
struct Interest {
    topics: Wanted,
    may_create: bool,
    changed: Arc<Notify>,
}

/// Which topics.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    All,
    Names(BTreeSet<TopicName>),
}

/// Names an interest.
#[derive(Clone, Copy, Debug)]
struct InterestId(u64);

impl Cluster {
    pub(crate) fn address(&self, id: NodeId) -> Option<String> {
        self.nodes.get(&id).map(Node::address)
    }

    /// Whether these are all topics that there are.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes over what a broker says. Topics that it does not mention stay, if somebody is interested in them, unless
    /// these are all that there are.
    fn update(&mut self, response: &MetadataResponse<'_>, is_complete: bool) {
        if is_complete {
            self.topics.clear();
        }
        self.is_complete = is_complete;
        self.id = response.cluster_id.as_deref().map(str::to_owned).or_else(|| self.id.take());
        self.controller = NodeId::from_wire(response.controller_id);
        let nodes: BTreeMap<NodeId, Node> = response
            .brokers
            .iter()
            .filter_map(|broker| {
                let (id, port) = (NodeId::from_wire(broker.node_id)?, u16::try_from(broker.port).ok()?);
                let (host, rack) = (broker.host.to_string(), broker.rack.map(|rack| rack.to_string()));
                Some((id, Node { id, host, port, rack }))
            })
            .collect();
        // A broker that has none to tell of has just begun.
        if !nodes.is_empty() {
            self.nodes = nodes;
        }
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref().and_then(|name| TopicName::new(name).ok()) else { continue };
            let code = ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
            let partitions = if code.is_none() { Ok(partitions(&topic.partitions)) } else { Err(code) };
            let id = Some(TopicId(topic.topic_id)).filter(|id| !id.0.is_zero());
            self.topics.insert(name, TopicMetadata { id, is_internal: topic.is_internal, partitions });
        }
        self.generation += 1;
        let is_wanted = |name: &TopicName| self.interests.values().any(|interest| interest.topics.has(name));
        let unwanted: Vec<TopicName> = self.topics.keys().filter(|name| !is_wanted(name)).cloned().collect();
        unwanted.iter().for_each(|name| drop(self.topics.remove(name)));
        self.interests.values().for_each(|interest| interest.changed.notify());
    }

    /// Whether a topic that somebody is interested in is not there, though it may come.
    fn lacks_topics(&self) -> bool {
        let lacks = |name: &TopicName| match self.topics.get(name).map(|topic| &topic.partitions) {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(code)) => code.is_retriable(),
        };
        self.interests.values().any(|interest| match &interest.topics {
            Wanted::All => false,
            Wanted::Names(names) => names.iter().any(lacks),
        })
    }

    /// What to ask for: topics, or all that there are, and whether they may be created by that. Whoever only reads topics
    /// does not create them because somebody else writes to others.
    fn questions(&self) -> Vec<(Wanted, bool)> {
        let (mut is_all, mut read, mut written) = (false, BTreeSet::new(), BTreeSet::new());
        for interest in self.interests.values() {
            match &interest.topics {
                Wanted::All => is_all = true,
                Wanted::Names(wanted) if interest.may_create => written.extend(wanted.iter().cloned()),
                Wanted::Names(wanted) => read.extend(wanted.iter().cloned()),
            }
        }
        if is_all {
            let is_known = |name: &TopicName| self.topics.get(name).is_some_and(|topic| topic.partitions.is_ok());
            written.retain(|name| !is_known(name));
        }
        read.retain(|name| !written.contains(name));
        let mut questions = Vec::new();
        if !written.is_empty() {
            questions.push((Wanted::Names(written), true));
        }
        if is_all {
            questions.push((Wanted::All, false));
        } else if !read.is_empty() || questions.is_empty() {
            questions.push((Wanted::Names(read), false));
        }
        questions
    }
}

impl Node {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Wanted {
    fn has(&self, name: &TopicName) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }
}

/// An interest that ends when it is dropped.
pub(crate) struct InterestGuard {
    io: Rc<Io>,
    id: InterestId,
}

impl InterestGuard {
    /// Wants to know of `topics` from now on, and to be told whenever there is something new.
    pub(crate) fn new(io: &Rc<Io>, topics: Wanted, may_create: bool, changed: Arc<Notify>) -> Self {
        Self { id: io.add_interest(topics, may_create, changed), io: Rc::clone(io) }
    }

    /// Is interested in other topics.
    pub(crate) fn change(&self, topics: Wanted) {
        self.io.change_interest(self.id, topics);
    }
}

impl Drop for InterestGuard {
    fn drop(&mut self) {
        // Not while the whole of it is taken down.
        if let Ok(mut cluster) = self.io.cluster.try_borrow_mut() {
            cluster.interests.remove(&self.id.0);
        }
    }
}

impl Io {
    /// Wants to know of `topics` from now on, and to be told whenever there is something new.
    fn add_interest(&self, topics: Wanted, may_create: bool, changed: Arc<Notify>) -> InterestId {
        let mut cluster = self.cluster.borrow_mut();
        cluster.interests_made += 1;
        let id = InterestId(cluster.interests_made);
        let is_new = !matches!(&topics, Wanted::Names(names) if names.is_empty());
        cluster.interests.insert(id.0, Interest { topics, may_create, changed });
        if is_new {
            cluster.wanted.notify();
        }
        id
    }

    /// Is interested in other topics.
    fn change_interest(&self, id: InterestId, topics: Wanted) {
        let mut cluster = self.cluster.borrow_mut();
        if let Some(interest) = cluster.interests.get_mut(&id.0) {
            interest.topics = topics;
            cluster.wanted.notify();
        }
    }

    /// What is known is not right any more.
    pub(crate) fn want_metadata(&self) {
        self.cluster.borrow().wanted.notify();
    }

    /// Where a broker is, by what another one says of it.
    pub(crate) fn learn_node(&self, id: i32, host: &str, port: i32, rack: Option<&str>) {
        if let (Some(id), Ok(port)) = (NodeId::from_wire(id), u16::try_from(port)) {
            let rack = rack.map(str::to_owned);
            let node = Node { id, host: host.to_owned(), port, rack };
            self.cluster.borrow_mut().nodes.entry(id).or_insert(node);
        }
    }

    /// Renews what is known, whenever somebody wants that or it has become old.
    pub(crate) async fn keep_fresh(self: Rc<Self>) {
        let wanted = Rc::clone(&self.cluster.borrow().wanted);
        let mut failures = 0_u32;
        loop {
            let old = self.after(self.config.metadata_age_max);
            let asked = self.until(old, std::future::poll_fn(|context| wanted.poll(context))).await;
            if asked.is_none() && self.cluster.borrow().interests.is_empty() {
                continue;
            }
            let questions = self.cluster.borrow().questions();
            let deadline = self.within(self.config.request_timeout);
            let mut result = Ok(());
            for (topics, may_create) in questions {
                let names = match &topics {
                    Wanted::All => None,
                    Wanted::Names(names) => Some(names),
                };
                result = result.and(self.renew(names, may_create, deadline).await);
            }
            match result {
                Ok(()) if self.cluster.borrow().lacks_topics() => {
                    // It may be about to be made.
                    failures = failures.saturating_add(1);
                    wanted.notify();
                }
                Ok(()) => failures = 1,
                Err(error) => {
                    tracing::debug!(%error, "metadata cannot be had");
                    failures = failures.saturating_add(1);
                    wanted.notify();
                }
            }
            // Whoever is not content with what has come asks again, but not faster than this.
            let backoff = self.backoff_ms(failures, self.config.retry_backoff, self.config.retry_backoff_max);
            self.sleep_until(self.now().plus_ms(backoff)).await;
        }
    }

    /// Asks some broker about `topics`, or all, and takes over what it says.
    async fn renew(
        self: &Rc<Self>,
        topics: Option<&BTreeSet<TopicName>>,
        may_create: bool,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let answer =
            self.metadata(topics.map(|topics| topics.iter().map(TopicName::as_str)), may_create, deadline).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        self.take_over(&response, topics.is_none());
        Ok(())
    }

    /// Takes over what a broker says of the cluster.
    pub(crate) fn take_over(&self, response: &MetadataResponse<'_>, is_complete: bool) {
        let former: Vec<(NodeId, String)> =
            self.cluster.borrow().nodes.values().map(|node| (node.id, node.address())).collect();
        self.cluster.borrow_mut().update(response, is_complete);
        for (id, address) in former {
            if self.cluster.borrow().address(id).is_some_and(|now| now != address) {
                self.disconnect_node(id);
            }
        }
    }

    /// Asks some broker about topics; `None` for all.
    pub(crate) async fn metadata<'n>(
        self: &Rc<Self>,
        topics: Option<impl Iterator<Item = &'n str>>,
        may_create: bool,
        deadline: Deadline,
    ) -> Result<Answer, ClientError> {
        let topic = |name: &'n str| MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.map(topic).collect()),
            allow_auto_topic_creation: may_create,
            ..MetadataRequest::default()
        };
        self.ask_any(i16::MAX, deadline, &request).await
    }

    /// Sees to it that brokers are known.
    pub(crate) async fn know_nodes(self: &Rc<Self>, deadline: Deadline) -> Result<(), ClientError> {
        if self.cluster.borrow().nodes.is_empty() {
            let none: BTreeSet<TopicName> = BTreeSet::new();
            self.renew(Some(&none), false, deadline).await?;
        }
        Ok(())
    }

    /// A connection to whichever broker can be reached, tried again and again until `deadline`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] with what was wrong last.
    pub(crate) async fn any_link(self: &Rc<Self>, lane: Lane, deadline: Deadline) -> Result<Link, ClientError> {
        let mut failures = 0;
        let mut last = None;
        loop {
            for peer in self.candidates(lane) {
                let setup = self.within(self.config.connection_setup_timeout);
                let setup = if deadline.at < setup.at { deadline } else { setup };
                match self.ready(peer, lane, setup).await {
                    Ok(link) => return Ok(link),
                    Err(error) => last = Some(error),
                }
                if deadline.at <= self.now() {
                    return Err(deadline.missed("finding a broker".to_owned(), last));
                }
            }
            failures += 1;
            let backoff = self.backoff_ms(failures, self.config.retry_backoff, self.config.retry_backoff_max);
            let again = self.now().plus_ms(backoff);
            self.sleep_until(again.min(deadline.at)).await;
            if deadline.at <= self.now() {
                return Err(deadline.missed("finding a broker".to_owned(), last));
            }
        }
    }

    /// Asks whichever broker can be reached; another one if the connection breaks.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for everything that keeps the answer from coming. Not if the answer is a refusal.
    pub(crate) async fn ask_any<'q, Q: Message<'q>>(
        self: &Rc<Self>,
        version_max: i16,
        deadline: Deadline,
        request: &Q,
    ) -> Result<Answer, ClientError> {
        loop {
            let link = self.any_link(Lane::default(), deadline).await?;
            match self.ask(link, version_max, self.request_deadline(deadline), request).await {
                Err(ClientError::Disconnected { .. }) if self.now() < deadline.at => {}
                result => return result,
            }
        }
    }

    /// Asks one broker; again if the connection breaks.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for everything that keeps the answer from coming. Not if the answer is a refusal.
    pub(crate) async fn ask_node<'q, Q: Message<'q>>(
        self: &Rc<Self>,
        node: NodeId,
        version_max: i16,
        deadline: Deadline,
        request: &Q,
    ) -> Result<Answer, ClientError> {
        self.know_nodes(deadline).await?;
        loop {
            let link = self.ready(Peer::Node(node), Lane::default(), deadline).await?;
            match self.ask(link, version_max, self.request_deadline(deadline), request).await {
                Err(ClientError::Disconnected { .. }) if self.now() < deadline.at => {}
                result => return result,
            }
        }
    }

    /// Whom to try, the best first: whoever is connected and has least to do, then the brokers that are known, then those
    /// of the configuration.
    fn candidates(&self, lane: Lane) -> Vec<Peer> {
        let cluster = self.cluster.borrow();
        let known = cluster.nodes.keys().map(|id| Peer::Node(*id));
        let given = (0..self.config.bootstrap_servers.len()).map(Peer::Bootstrap);
        let all: Vec<Peer> = known.chain(given).collect();
        let busy = |peer: &Peer| self.link(*peer, lane).and_then(|link| self.in_flight(link));
        if let Some((_, peer)) = all.iter().filter_map(|peer| Some((busy(peer)?, *peer))).min() {
            return vec![peer];
        }
        let (mut known, mut given): (Vec<Peer>, Vec<Peer>) =
            all.into_iter().partition(|peer| matches!(peer, Peer::Node(_)));
        for peers in [&mut known, &mut given] {
            if !peers.is_empty() {
                let first = usize::try_from(self.random() % peers.len() as u64).unwrap_or_default();
                peers.rotate_left(first);
            }
        }
        known.append(&mut given);
        // Those that have just failed come last.
        known.sort_by_key(|peer| !self.is_approachable(*peer, lane));
        known
    }
}

fn partitions(
    wire: &highwater_wire::Array<'_, highwater_wire::messages::metadata_response::MetadataResponsePartition<'_>>,
) -> Vec<PartitionMetadata> {
    let nodes = |ids: &highwater_wire::Array<'_, i32>| ids.iter().filter_map(NodeId::from_wire).collect();
    let mut partitions: BTreeMap<u32, PartitionMetadata> = BTreeMap::new();
    for partition in wire {
        let Some(index) = PartitionIndex::from_wire(partition.partition_index) else { continue };
        let known = PartitionMetadata {
            leader: NodeId::from_wire(partition.leader_id),
            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
            replicas: nodes(&partition.replica_nodes),
            isr: nodes(&partition.isr_nodes),
            offline: nodes(&partition.offline_replicas),
        };
        partitions.insert(index.value(), known);
    }
    // A hole in the numbers would be a broker's fault; what is behind it cannot be reached.
    partitions
        .into_iter()
        .zip(0..)
        .take_while(|((index, _), expected)| index == expected)
        .map(|((_, known), _)| known)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_wire::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    fn name(text: &str) -> TopicName {
        TopicName::new(text).unwrap()
    }

    fn topic(text: &'static str, leaders: &[i32]) -> MetadataResponseTopic<'static> {
        let partition = |(leader, index): (&i32, i32)| MetadataResponsePartition {
            partition_index: index,
            leader_id: *leader,
            leader_epoch: 5,
            ..Default::default()
        };
        let partitions = leaders.iter().zip(0..).map(partition).collect();
        MetadataResponseTopic { name: Some(text.into()), partitions, ..Default::default() }
    }

    fn response(topics: Vec<MetadataResponseTopic<'static>>) -> MetadataResponse<'static> {
        let broker = MetadataResponseBroker { node_id: 3, host: "h".into(), port: 9, ..Default::default() };
        MetadataResponse { brokers: vec![broker].into(), topics: topics.into(), ..Default::default() }
    }

    #[test]
    fn only_topics_that_somebody_wants_are_kept() {
        let mut cluster = Cluster::default();
        let topics = Wanted::Names([name("a")].into());
        cluster.interests.insert(1, Interest { topics, may_create: false, changed: Arc::default() });
        cluster.update(&response(vec![topic("a", &[3, -1]), topic("b", &[3])]), false);
        assert_eq!(cluster.topics.keys().collect::<Vec<_>>(), [&name("a")]);
        let partitions = cluster.topics[&name("a")].partitions.as_ref().unwrap();
        let [first, second] = partitions.as_slice() else { panic!("there are two") };
        assert_eq!((first.leader, first.leader_epoch), (NodeId::from_wire(3), LeaderEpoch::from_wire(5)));
        assert_eq!(second.leader, None);
        assert_eq!(cluster.address(NodeId::new(3)).as_deref(), Some("h:9"));
    }

    #[test]
    fn a_broker_that_knows_of_nobody_is_not_believed() {
        let mut cluster = Cluster::default();
        cluster.update(&response(Vec::new()), false);
        cluster.update(&MetadataResponse::default(), false);
        assert_eq!(cluster.nodes.len(), 1);
    }

    #[test]
    fn what_is_behind_a_hole_is_left_out() {
        let mut holed = topic("a", &[1, 2, 3]);
        let kept: Vec<_> = holed.partitions.iter().filter(|partition| partition.partition_index != 1).collect();
        holed.partitions = kept.into();
        assert_eq!(partitions(&holed.partitions).len(), 1);
    }

    fn asked(cluster: &Cluster) -> Vec<(Option<Vec<String>>, bool)> {
        let text = |names: &BTreeSet<TopicName>| names.iter().map(ToString::to_string).collect();
        let question = |(topics, may_create): (Wanted, bool)| match topics {
            Wanted::All => (None, may_create),
            Wanted::Names(names) => (Some(text(&names)), may_create),
        };
        cluster.questions().into_iter().map(question).collect()
    }

    #[test]
    fn who_only_reads_creates_nothing() {
        let mut cluster = Cluster::default();
        let add = |cluster: &mut Cluster, id, topics| {
            cluster.interests.insert(id, Interest { topics, may_create: id == 2, changed: Arc::default() });
        };
        let some = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(asked(&cluster), [(some(&[]), false)]);
        add(&mut cluster, 1, Wanted::Names([name("a"), name("c")].into()));
        add(&mut cluster, 2, Wanted::Names([name("a"), name("b")].into()));
        assert_eq!(asked(&cluster), [(some(&["a", "b"]), true), (some(&["c"]), false)]);
        add(&mut cluster, 3, Wanted::All);
        assert_eq!(asked(&cluster), [(some(&["a", "b"]), true), (None, false)]);
        cluster.update(&response(vec![topic("a", &[3]), topic("b", &[3])]), true);
        assert_eq!(asked(&cluster), [(None, false)]);
    }
}
