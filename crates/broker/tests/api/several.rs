//! Several brokers in this process, of which the first is the controller too.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use highwater_broker::{Broker, BrokerConfig, InitialControllers, format};
use highwater_types::ErrorCode;
use highwater_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use highwater_wire::messages::*;

use crate::common::{Client, code, create_request, metadata_request};

/// Brokers 1, 2, ... with their data in a temporary directory.
pub(crate) struct Brokers {
    brokers: BTreeMap<u32, Broker>,
    directory: tempfile::TempDir,
    properties: Vec<(String, String)>,
    controller_port: u16,
}

/// What the metadata says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
}

impl Brokers {
    pub(crate) fn start(count: u32, properties: &[(&str, &str)]) -> Self {
        let controller_port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let defaults = [
            ("log.index.size.max.bytes", "4096"),
            ("num.network.threads", "1"),
            ("broker.heartbeat.interval.ms", "200"),
            ("broker.session.timeout.ms", "6000"),
            ("replica.fetch.backoff.ms", "50"),
        ];
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let properties = defaults.iter().chain(properties).map(owned).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut this = Self { brokers: BTreeMap::new(), directory, properties, controller_port };
        (1..=count).for_each(|id| this.start_one(id));
        this
    }

    /// Starts a broker and waits until it serves.
    pub(crate) fn start_one(&mut self, id: u32) {
        let data = self.directory.path().join(id.to_string());
        let mut all: BTreeMap<String, String> = self.properties.iter().cloned().collect();
        let (roles, listeners) = if id == 1 {
            let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{}", self.controller_port);
            ("broker,controller", listeners)
        } else {
            ("broker", "PLAINTEXT://127.0.0.1:0".to_owned())
        };
        all.extend([
            ("process.roles".to_owned(), roles.to_owned()),
            ("node.id".to_owned(), id.to_string()),
            ("listeners".to_owned(), listeners),
            ("controller.listener.names".to_owned(), "CONTROLLER".to_owned()),
            ("controller.quorum.voters".to_owned(), format!("1@127.0.0.1:{}", self.controller_port)),
            ("log.dirs".to_owned(), data.display().to_string()),
        ]);
        let config = BrokerConfig::new(all).unwrap();
        if !data.exists() {
            format(&config, "several", &InitialControllers::Configured).unwrap();
        }
        let broker = Broker::start(&config).unwrap();
        assert!(broker.readiness().wait(Duration::from_secs(30)), "broker {id} is let in");
        self.brokers.insert(id, broker);
    }

    /// Shuts a broker down and keeps its data.
    pub(crate) fn stop(&mut self, id: u32) {
        self.brokers.remove(&id).unwrap().shutdown();
    }

    pub(crate) fn client(&self, id: u32) -> Client {
        Client::connect(self.brokers[&id].local_addr())
    }

    /// Creates a topic, with replicas of each partition on these brokers, and waits until all of them know it.
    pub(crate) fn create_topic(&self, name: &str, replicas: &[&[i32]], configs: &[(&str, &str)]) {
        let mut request = create_request(name, -1, configs);
        let assignment = |(index, brokers): (usize, &&[i32])| CreatableReplicaAssignment {
            partition_index: i32::try_from(index).unwrap(),
            broker_ids: brokers.to_vec().into(),
            ..Default::default()
        };
        let topic = request.topics.iter().next().unwrap();
        let topic = CreatableTopic { assignments: replicas.iter().enumerate().map(assignment).collect(), ..topic };
        request.topics = vec![topic].into();
        let mut client = self.client(1);
        let answer = client.call(7, &request);
        let response: CreateTopicsResponse<'_> = answer.body();
        let created = response.topics.iter().next().unwrap();
        assert_eq!(code(created.error_code), ErrorCode::None, "{:?}", created.error_message);
        for id in self.brokers.keys() {
            self.client(*id).wait_for_topic(name);
        }
    }

    /// Partition 0 of a topic, once it is as it should be.
    pub(crate) fn wait_for(
        &self,
        topic: &str,
        what: &str,
        is_right: impl Fn(&PartitionState) -> bool,
    ) -> PartitionState {
        let mut client = self.client(1);
        until(what, || partition(&mut client, topic).filter(&is_right))
    }

    /// Where partition 0 of a topic is to be.
    pub(crate) fn reassign(&self, topic: &str, replicas: &[i32]) {
        use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
        let partition = ReassignablePartition { replicas: Some(replicas.to_vec().into()), ..Default::default() };
        let topic = ReassignableTopic {
            name: topic.into(),
            partitions: vec![partition].into(),
            ..ReassignableTopic::default()
        };
        let request =
            AlterPartitionReassignmentsRequest { timeout_ms: 10_000, topics: vec![topic].into(), ..Default::default() };
        let answer = self.client(1).call(0, &request);
        let response: AlterPartitionReassignmentsResponse<'_> = answer.body();
        let answered = response.responses.iter().next().unwrap().partitions.iter().next().unwrap();
        assert_eq!(code(answered.error_code), ErrorCode::None, "{:?}", answered.error_message);
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // The controller last: the others take their leave of it.
        while self.brokers.pop_last().is_some() {}
    }
}

/// What a broker knows of partition 0 of a topic.
pub(crate) fn partition(client: &mut Client, topic: &str) -> Option<PartitionState> {
    let answer = client.call(12, &metadata_request(&[topic]));
    let response: MetadataResponse<'_> = answer.body();
    let topic = response.topics.iter().next()?;
    let partition = topic.partitions.iter().find(|partition| partition.partition_index == 0)?;
    Some(PartitionState {
        leader: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().collect(),
        isr: partition.isr_nodes.iter().collect(),
    })
}

/// Asks until there is an answer, for as long as anything may take on a busy machine.
pub(crate) fn until<R>(what: &str, mut ask: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "this has not come about: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
