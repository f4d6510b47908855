//! Consumers, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use highwater_consumer::{
    Answer, AssignmentStrategy, Consumer, ConsumerConfig, Event as Given, Failure, GroupProtocol, Input,
    IsolationLevel, MetadataUpdate, OffsetReset, Output, Request, RequestId, RevocationId, Target, TopicUpdate,
};
use highwater_types::{ErrorCode, NodeId, Ticks, TopicPartition, Uuid};

use crate::brokers::Brokers;
use crate::groups::{Groups, OneTopic, Stored, topic, topic_id};
use crate::judge::Judge;
use crate::random::Random;

/// Something that happens.
enum Event {
    Arrives {
        process: u64,
        id: RequestId,
        to: Target,
        request: Request,
    },
    Answers {
        process: u64,
        id: RequestId,
        answer: Answer,
    },
    Fails {
        process: u64,
        id: RequestId,
        failure: Failure,
    },
    Metadata {
        process: u64,
    },
    /// A consumer does what it has to do by time.
    Wakes {
        process: u64,
    },
    /// The coordinator does.
    GroupWakes,
    /// An application asks for an event, or does something else.
    Acts {
        process: u64,
    },
    Acknowledges {
        process: u64,
        id: RevocationId,
    },
    Produces,
    Trouble,
}

/// Who waits for an answer of the coordinator, and whether it is lost.
struct Caller {
    process: u64,
    id: RequestId,
    is_lost: bool,
}

struct Process {
    consumer: Consumer<()>,
    is_waiting: bool,
    is_closed: bool,
    wakes_at: Option<u64>,
    fetching: BTreeMap<NodeId, RequestId>,
    outstanding: BTreeSet<RequestId>,
}

pub(crate) struct World {
    random: Random,
    now_ms: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    brokers: Brokers,
    groups: Groups<Caller>,
    processes: BTreeMap<u64, Process>,
    processes_made: u64,
    judge: Judge,
    config: ConsumerConfig,
    loss_percent: u64,
    is_healed: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let partitions = random.between(1, 6) as u32;
        let count = random.between(1, 3) as u32;
        let is_committed_only = random.chance(50);
        let mut judge = Judge::default();
        let strategies: &[AssignmentStrategy] = random.pick(&[
            &[AssignmentStrategy::CooperativeSticky][..],
            &[AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky][..],
            &[AssignmentStrategy::Sticky][..],
            &[AssignmentStrategy::RoundRobin][..],
        ]);
        let config = ConsumerConfig {
            group_id: Some("g".to_owned()),
            group_protocol: random.pick(&[GroupProtocol::Classic, GroupProtocol::Consumer, GroupProtocol::Auto]),
            assignment_strategies: strategies.to_vec(),
            auto_offset_reset: OffsetReset::Earliest,
            isolation_level: if is_committed_only {
                IsolationLevel::ReadCommitted
            } else {
                IsolationLevel::ReadUncommitted
            },
            enable_auto_commit: Some(random.chance(60)),
            auto_commit_interval_ms: random.pick(&[100, 1_000]),
            poll_records_max: random.pick(&[1, 3, 50]),
            poll_interval_ms_max: random.pick(&[2_000, 8_000]),
            session_timeout_ms: 6_000,
            heartbeat_interval_ms: 500,
            default_api_timeout_ms: 5_000,
            retry_backoff_ms: 20,
            retry_backoff_ms_max: 200,
            queued_kbytes_max: random.pick(&[0, 1, 1_000]),
            ..ConsumerConfig::default()
        };
        judge.is_calm = random.chance(30);
        let topics = OneTopic(partitions);
        Self {
            brokers: Brokers::new(partitions, count, is_committed_only, &mut judge),
            groups: Groups::new(&topics),
            loss_percent: if judge.is_calm { 0 } else { random.pick(&[0, 2, 10]) },
            random,
            now_ms: 0,
            queue: BTreeMap::new(),
            events: 0,
            processes: BTreeMap::new(),
            processes_made: 0,
            judge,
            config,
            is_healed: false,
        }
    }

    pub(crate) fn play(mut self) {
        for _ in 0..self.random.between(1, 3) {
            self.start();
        }
        self.put(10, Event::Produces);
        self.put(50, Event::Trouble);
        let chaos_ms = self.random.between(5_000, 30_000);
        self.run_until(chaos_ms);
        self.heal();
        self.run_until(chaos_ms + 60_000);
        assert_eq!(self.judge.unseen(), 0, "in a world that has healed every record comes to somebody");
        assert!(0 < self.judge.commits || self.config.enable_auto_commit != Some(true), "something is committed");
        self.judge.check_shared(self.brokers.logs.len());
        for process in self.processes.keys().copied().collect::<Vec<_>>() {
            let now = Ticks(self.now_ms);
            self.judge.died(process);
            self.processes.get_mut(&process).unwrap().consumer.close(now, None);
            self.drain(process);
            self.run_until(self.now_ms + 2_000);
            assert!(self.processes[&process].is_closed, "in a world that has healed a consumer can close");
        }
    }

    fn start(&mut self) {
        self.processes_made += 1;
        let process = self.processes_made;
        let config = self.config.clone().check().unwrap();
        let mut consumer = Consumer::new(config, self.random.bits(), Ticks(self.now_ms));
        consumer.subscribe(Ticks(self.now_ms), [topic()].into()).unwrap();
        let known = Process {
            consumer,
            is_waiting: false,
            is_closed: false,
            wakes_at: None,
            fetching: BTreeMap::new(),
            outstanding: BTreeSet::new(),
        };
        self.processes.insert(process, known);
        self.drain(process);
        self.put(5, Event::Acts { process });
    }

    fn put(&mut self, delay_ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now_ms + delay_ms, self.events), event);
    }

    fn heal(&mut self) {
        self.is_healed = true;
        self.loss_percent = 0;
        self.brokers.error_percent = 0;
        self.processes.retain(|_, process| !process.is_closed);
        self.start();
        for process in self.processes.keys().copied().collect::<Vec<_>>() {
            self.put(0, Event::Metadata { process });
            self.put(0, Event::Acts { process });
        }
    }

    fn run_until(&mut self, end_ms: u64) {
        let mut spins = 0;
        while let Some((&(at_ms, _), _)) = self.queue.first_key_value() {
            if end_ms < at_ms {
                break;
            }
            spins = if at_ms == self.now_ms { spins + 1 } else { 0 };
            assert!(spins < 5_000, "time does not go on");
            self.now_ms = at_ms;
            let (_, event) = self.queue.pop_first().unwrap();
            self.happen(event);
            if let Some(due) = self.groups.next_timeout() {
                self.put(due.max(self.now_ms + 1) - self.now_ms, Event::GroupWakes);
            }
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        let now = Ticks(self.now_ms);
        match event {
            Event::Arrives { process, id, to, request } => self.arrive(process, id, to, request),
            Event::Answers { process, id, answer } => self.tell(process, id, Input::Answered(id, answer)),
            Event::Fails { process, id, failure } => self.tell(process, id, Input::Failed(id, failure)),
            Event::Metadata { process } => {
                let topics = vec![TopicUpdate {
                    name: topic(),
                    id: Some(topic_id()),
                    is_internal: false,
                    partitions: Ok(self.brokers.metadata()),
                }];
                if let Some(known) = self.processes.get_mut(&process) {
                    known.consumer.handle(now, Input::Metadata(MetadataUpdate { topics, is_complete: false }));
                    self.drain(process);
                }
            }
            Event::Wakes { process } => {
                let Some(known) = self.processes.get_mut(&process) else { return };
                if known.wakes_at == Some(self.now_ms) {
                    known.wakes_at = None;
                    known.consumer.handle_timeout(now);
                    self.drain(process);
                }
            }
            Event::GroupWakes => {
                // Only the first of those that were put for a time has something to do.
                if self.groups.next_timeout().is_some_and(|due| due <= self.now_ms) {
                    let answers = self.groups.handle_timeout(self.now_ms);
                    self.send_answers(answers);
                }
                self.queue.retain(|(at, _), event| *at != self.now_ms || !matches!(event, Event::GroupWakes));
            }
            Event::Acts { process } => self.act(process),
            Event::Acknowledges { process, id } => {
                if let Some(known) = self.processes.get_mut(&process) {
                    known.consumer.acknowledge(now, id);
                    self.drain(process);
                }
            }
            Event::Produces => {
                self.brokers.produce(&mut self.random, &mut self.judge);
                if !self.is_healed {
                    let delay_ms = self.random.between(1, 200);
                    self.put(delay_ms, Event::Produces);
                }
            }
            Event::Trouble => self.trouble(),
        }
    }

    fn trouble(&mut self) {
        if self.is_healed {
            return;
        }
        match self.random.between(0, 9) {
            0..=3 => self.brokers.move_leader(&mut self.random),
            4 if 1 < self.processes.len() && !self.judge.is_calm => {
                // One dies without a word.
                let at = self.random.between(0, self.processes.len() as u64 - 1) as usize;
                let process = *self.processes.keys().nth(at).unwrap();
                self.processes.remove(&process);
                self.judge.died(process);
            }
            5 if self.processes.len() < 4 => self.start(),
            6 => {
                // One closes, and another comes.
                let process = *self.processes.keys().next().unwrap();
                self.processes.get_mut(&process).unwrap().consumer.close(Ticks(self.now_ms), None);
                self.judge.died(process);
                self.drain(process);
                self.start();
            }
            _ => {}
        }
        let delay_ms = self.random.between(100, 2_000);
        self.put(delay_ms, Event::Trouble);
    }

    /// A request's end reaches its consumer, if that is alive.
    fn tell(&mut self, process: u64, id: RequestId, input: Input) {
        let Some(known) = self.processes.get_mut(&process) else { return };
        assert!(known.outstanding.remove(&id), "a request ends once");
        known.fetching.retain(|_, fetch| *fetch != id);
        known.consumer.handle(Ticks(self.now_ms), input);
        self.drain(process);
    }

    fn drain(&mut self, process: u64) {
        while let Some(output) = self.processes.get_mut(&process).and_then(|known| known.consumer.poll_output()) {
            match output {
                Output::Request { id, to, request } => self.send(process, id, to, request),
                Output::WantTopics(_) | Output::RefreshMetadata => {
                    let delay_ms = self.random.between(10, 100);
                    self.put(delay_ms, Event::Metadata { process });
                }
                Output::EventReady => {
                    let known = self.processes.get_mut(&process).unwrap();
                    assert!(core::mem::take(&mut known.is_waiting), "nobody is woken who does not wait");
                    self.put(1, Event::Acts { process });
                }
                Output::Closed => self.processes.get_mut(&process).unwrap().is_closed = true,
                Output::Committed { .. } | Output::CommittedOffsets { .. } => {}
            }
        }
        let Some(known) = self.processes.get_mut(&process) else { return };
        let due = known.consumer.poll_timeout().map(|due| due.0.max(self.now_ms));
        if let Some(at) = due.filter(|_| due != known.wakes_at) {
            known.wakes_at = due;
            let delay_ms = at - self.now_ms;
            self.put(delay_ms, Event::Wakes { process });
        }
    }

    fn send(&mut self, process: u64, id: RequestId, to: Target, request: Request) {
        let known = self.processes.get_mut(&process).unwrap();
        known.outstanding.insert(id);
        if let (Request::Fetch(_), Target::Node(node)) = (&request, to) {
            assert_eq!(known.fetching.insert(node, id), None, "one fetch for each broker");
        }
        let delay_ms = self.random.between(1, 20);
        if self.random.chance(self.loss_percent) {
            self.put(delay_ms, Event::Fails { process, id, failure: Failure::Disconnected });
        } else {
            self.put(delay_ms, Event::Arrives { process, id, to, request });
        }
    }

    fn arrive(&mut self, process: u64, id: RequestId, to: Target, request: Request) {
        let is_lost = self.random.chance(self.loss_percent);
        let answer = match (&request, to) {
            (Request::FindCoordinator(_), _) => Answer::FindCoordinator(Ok(NodeId::new(0))),
            (Request::ListOffsets(asked), Target::Node(node)) => {
                Answer::ListOffsets(self.brokers.list_offsets(node.value(), asked))
            }
            (Request::OffsetForLeaderEpoch(asked), Target::Node(node)) => {
                Answer::OffsetForLeaderEpoch(self.brokers.epochs(node.value(), asked))
            }
            (Request::Fetch(asked), Target::Node(node)) => {
                Answer::Fetch(self.brokers.fetch(&mut self.random, process, node.value(), asked))
            }
            (_, Target::Coordinator(_)) => return self.ask_group(process, id, request, is_lost),
            other => panic!("to the wrong one: {other:?}"),
        };
        self.answer(process, id, answer, is_lost);
    }

    fn ask_group(&mut self, process: u64, id: RequestId, request: Request, is_lost: bool) {
        if self.random.chance(self.loss_percent)
            && let Some(answer) = not_coordinator(&mut self.random, &request)
        {
            return self.answer(process, id, answer, false);
        }
        let new_member = Uuid::from_bytes(u128::from(self.random.bits()).to_be_bytes());
        let caller = Caller { process, id, is_lost };
        let answers = self.groups.ask(self.now_ms, caller, request, new_member);
        self.send_answers(answers);
    }

    fn send_answers(&mut self, answers: Vec<(Caller, Answer, Stored)>) {
        for (Caller { process, id, is_lost }, answer, stored) in answers {
            stored.iter().for_each(|(partition, offset)| self.judge.committed(partition, *offset));
            self.answer(process, id, answer, is_lost);
        }
    }

    fn answer(&mut self, process: u64, id: RequestId, answer: Answer, is_lost: bool) {
        let wait_ms = match &answer {
            Answer::Fetch(fetched) if fetched.partitions.iter().all(|said| said.records.is_empty()) => 100,
            _ => 1,
        };
        let delay_ms = self.random.between(1, 20) + wait_ms;
        if is_lost {
            let timeout_ms = self.random.between(50, 1_000);
            self.put(timeout_ms, Event::Fails { process, id, failure: Failure::TimedOut });
        } else {
            self.put(delay_ms, Event::Answers { process, id, answer });
        }
    }

    fn act(&mut self, process: u64) {
        let now = Ticks(self.now_ms);
        let Some(known) = self.processes.get_mut(&process) else { return };
        if !self.is_healed && self.random.chance(10) && self.config.enable_auto_commit == Some(false) {
            let progress = known.consumer.progress();
            known.consumer.commit(now, progress, ());
        }
        let event = known.consumer.poll_event(now);
        known.is_waiting = event.is_none();
        match event {
            None => {
                if !self.is_healed && self.random.chance(10) {
                    known.consumer.stop_waiting(now);
                    let delay_ms = self.random.between(1, 500);
                    self.put(delay_ms, Event::Acts { process });
                }
                return self.drain(process);
            }
            Some(Given::Records(records)) => {
                assert!(records.len() <= self.config.poll_records_max as usize, "no more than was asked for");
                self.judge.records(process, &records);
            }
            Some(Given::Assigned { partitions }) => self.judge.assigned(process, &partitions),
            Some(Given::Lost { partitions }) => self.judge.gone(process, &partitions),
            Some(Given::Revoking(revoking)) => {
                self.judge.revoking(process, revoking.id, &revoking.partitions);
                self.check_owned(process, &revoking.partitions);
                if self.is_healed || self.judge.is_calm || self.random.chance(90) {
                    let delay_ms = self.random.between(0, 300);
                    self.put(delay_ms, Event::Acknowledges { process, id: revoking.id });
                }
            }
            Some(other) => panic!("nobody expects {other:?}"),
        }
        self.drain(process);
        let is_slow = !self.is_healed && !self.judge.is_calm && self.random.chance(2);
        let delay_ms = if is_slow { self.random.between(1_000, 12_000) } else { self.random.between(0, 30) };
        self.put(delay_ms, Event::Acts { process });
    }

    fn check_owned(&self, process: u64, partitions: &[TopicPartition]) {
        let owned: BTreeSet<&TopicPartition> = self.processes[&process].consumer.assignment().collect();
        assert!(partitions.iter().all(|partition| owned.contains(partition)), "what goes is still there");
    }
}

/// A coordinator that is none, or not yet.
fn not_coordinator(random: &mut Random, request: &Request) -> Option<Answer> {
    let code = random.pick(&[ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress]);
    match request {
        Request::Heartbeat(_) => Some(Answer::Heartbeat(code)),
        Request::SyncGroup(_) => Some(Answer::SyncGroup(Err(code))),
        Request::OffsetCommit(asked) => {
            Some(Answer::OffsetCommit(asked.offsets.iter().map(|(name, _)| (name.clone(), code)).collect()))
        }
        _ => None,
    }
}
