//! A producer and what happens to it.

use std::collections::BTreeMap;

use highwater_producer::{
    Acks, Header, Input, Output, PartitionAnswer, ProduceBatch, ProduceRequest, Producer, Refusal, RequestId,
    SerializedRecord, TopicUpdate, WaitFor, WaiterId, Wake,
};
use highwater_records::BatchView;
use highwater_types::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, Ticks, TimestampMs, TopicName};

use super::cluster::{Cluster, node, records_of};
use super::judge::Judge;
use super::plan::Plan;
use crate::queue::Queue;
use crate::{Random, Trace};

/// Something that happens.
#[derive(Debug)]
enum Event {
    /// A request reaches a broker, as the `nth` of its connection.
    Arrives {
        connection: u64,
        nth: u64,
        request: ProduceRequest,
    },
    /// An answer reaches the producer.
    Answers {
        connection: u64,
        broker: u64,
        id: RequestId,
        answers: Vec<PartitionAnswer>,
    },
    /// A request without an answer is on its way.
    Sent(RequestId),
    /// A connection is made, or not.
    Connects(u64),
    /// The producer notices that a connection is lost.
    Breaks {
        connection: u64,
        broker: u64,
    },
    Metadata(Vec<TopicUpdate>),
    AsksMetadata,
    /// Metadata are old.
    Ages,
    ProducerId,
    /// The producer does what it has to do by time.
    Wakes,
    /// The application has records.
    Bursts,
    /// The application does something else.
    Acts,
    /// Something fails.
    Fails,
    /// A broker starts again.
    Restarts(u64),
    /// Partitions without a leader get one.
    Elects,
}

/// A connection to a broker: what is sent on it arrives in order.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// Names it; 0 before the first one.
    id: u64,
    is_up: bool,
    /// Nothing that is sent arrives any more, and nobody notices.
    is_deaf: bool,
    /// No answer arrives any more, and nobody notices.
    is_mute: bool,
    in_flight: u64,
    sent: u64,
    arrived: u64,
    last_arrival_ms: u64,
    last_answer_ms: u64,
}

/// A record of the application.
#[derive(Clone, Debug)]
struct Draft {
    topic: TopicName,
    partition: Option<PartitionIndex>,
    key: Option<Vec<u8>>,
    is_bad: bool,
    bytes: u64,
    headers: Vec<Header>,
}

struct World<'t, 'f> {
    random: Random,
    plan: Plan,
    now_ms: u64,
    queue: Queue<Event>,
    cluster: Cluster,
    producer: Producer<u64>,
    connections: Vec<Connection>,
    connections_made: u64,
    /// How many requests of a lost connection still arrive.
    leftovers: BTreeMap<u64, u64>,
    judge: Judge,
    records: u64,
    waiting: BTreeMap<WaiterId, Draft>,
    wakes_at_ms: Option<u64>,
    last_wake_ms: u64,
    /// Wakes at that time.
    wakes: u64,
    producer_ids: u64,
    is_metadata_wanted: bool,
    has_healed: bool,
    is_closed: bool,
    flushes: u64,
    trace: &'t mut Trace<'f>,
}

/// Plays the history that belongs to `seed`.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    trace.say(|| format!("{plan:?}"));
    let mut world = World {
        cluster: Cluster::new(&plan),
        producer: Producer::new(plan.config.clone(), random.bits(), Ticks(0)),
        random,
        now_ms: 0,
        queue: Queue::default(),
        connections: vec![Connection::default(); usize::try_from(plan.brokers).expect("there are few brokers")],
        connections_made: 0,
        leftovers: BTreeMap::new(),
        judge: Judge::default(),
        records: 0,
        waiting: BTreeMap::new(),
        wakes_at_ms: None,
        last_wake_ms: 0,
        wakes: 0,
        producer_ids: 0,
        is_metadata_wanted: false,
        has_healed: false,
        is_closed: false,
        flushes: 0,
        trace,
        plan,
    };
    world.play();
}

impl World<'_, '_> {
    fn play(&mut self) {
        self.carry_out();
        for (event, every_ms) in [(Event::Bursts, 10), (Event::Acts, 500), (Event::Fails, self.plan.fault_every_ms)] {
            self.queue.put(every_ms, event);
        }
        self.queue.put(1_000, Event::Ages);
        self.run_until(self.plan.chaos_ms);
        self.heal();
        let quiet_ms = self.plan.config.delivery_timeout_ms() + 10_000;
        self.run_until(self.now_ms + quiet_ms);
        assert_eq!(self.judge.open(), 0, "everything is told in the end");
        self.check_progress(quiet_ms);
        self.producer.close(Ticks(self.now_ms), None);
        self.carry_out();
        assert!(self.is_closed, "with nothing to do the producer closes at once");
        assert_eq!(self.producer.memory_used_bytes(), 0, "and has given all memory back");
    }

    /// In a world in which nothing fails a record reaches every partition.
    fn check_progress(&mut self, quiet_ms: u64) {
        let topics = self.cluster.topics.iter();
        let places: Vec<(TopicName, u64)> = topics
            .flat_map(|(name, partitions)| (0..partitions.len() as u64).map(move |index| (name.clone(), index)))
            .collect();
        let mut numbers = Vec::new();
        for (topic, index) in places {
            let partition = Some(PartitionIndex::new(u32::try_from(index).expect("there are few partitions")));
            let draft = Draft { topic, partition, key: None, is_bad: false, bytes: 10, headers: Vec::new() };
            if self.send(None, &draft).is_none() {
                numbers.push(self.records - 1);
            }
            self.carry_out();
            self.run_until(self.now_ms + 3_000);
        }
        self.flushes += 1;
        self.producer.flush(Ticks(self.now_ms));
        self.carry_out();
        self.run_until(self.now_ms + quiet_ms);
        assert_eq!(self.flushes, 0, "every flush ends");
        assert_eq!(self.judge.open(), 0, "everything is told in the end");
        assert_eq!(numbers.len() as u64, self.plan.topics.iter().sum::<u64>(), "every topic is known by now");
        if self.plan.config.retries == i32::MAX as u32 {
            let missing = numbers.iter().find(|number| !self.judge.acknowledged.contains(number));
            assert_eq!(missing, None, "in a world that has healed every record arrives");
        }
    }

    fn heal(&mut self) {
        self.trace.say(|| format!("{}: the world heals", self.now_ms));
        self.has_healed = true;
        self.plan.delay_ms_max = self.plan.delay_ms_max.min(10);
        self.plan.metadata_loss_percent = 0;
        self.cluster.error_percent = 0;
        self.queue.retain(|event| !matches!(event, Event::Fails | Event::Bursts | Event::Acts));
        for broker in 0..self.plan.brokers {
            self.restart(broker);
            let Connection { id: connection, is_deaf, is_mute, .. } = *self.connection(broker);
            if is_deaf || is_mute {
                self.queue.put(self.now_ms, Event::Breaks { connection, broker });
            }
        }
        self.elect();
        let deadline = Ticks(self.now_ms + 5_000);
        for (topic, _) in &self.cluster.topics {
            let what = WaitFor::Topic { topic: topic.clone(), partition: None };
            self.producer.wait(Ticks(self.now_ms), &what, deadline);
        }
        self.carry_out();
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some((at_ms, event)) = self.queue.pop() {
            if end_ms <= at_ms {
                self.queue.put(at_ms, event);
                break;
            }
            assert!(self.now_ms <= at_ms, "time goes on");
            self.now_ms = at_ms;
            self.happen(event);
            self.carry_out();
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        let now = Ticks(self.now_ms);
        match event {
            Event::Arrives { connection, nth, request } => self.arrive(connection, nth, &request),
            Event::Answers { connection, broker, id, answers } => {
                let known = self.connection(broker);
                if known.id == connection && known.is_up && !known.is_mute {
                    known.in_flight -= 1;
                    self.trace.say(|| format!("{}: broker {broker} answers {id:?}: {answers:?}", now.0));
                    self.producer.handle(now, Input::Answered(id, answers));
                }
            }
            Event::Sent(id) => self.producer.handle(now, Input::Sent(id)),
            Event::Connects(broker) => self.connect(broker),
            Event::Breaks { connection, broker } => {
                if self.connection(broker).id == connection && self.connection(broker).is_up {
                    self.lose(broker);
                    self.producer.handle(now, Input::Disconnected(node(broker)));
                }
            }
            Event::Metadata(topics) => {
                self.trace.say(|| format!("{}: metadata {topics:?}", now.0));
                self.producer.handle(now, Input::Metadata(topics));
            }
            Event::AsksMetadata => self.ask_metadata(),
            Event::Ages => {
                self.want_metadata();
                self.queue.put(self.now_ms + 3_000, Event::Ages);
            }
            Event::ProducerId => self.answer_producer_id(),
            // Another one was set for an earlier time since.
            Event::Wakes if self.wakes_at_ms != Some(self.now_ms) => {}
            Event::Wakes => {
                self.wakes_at_ms = None;
                self.wakes = if self.last_wake_ms == self.now_ms { self.wakes + 1 } else { 0 };
                self.last_wake_ms = self.now_ms;
                assert!(self.wakes < 1_000, "what is due at {:?} is not done", self.producer.poll_timeout());
                self.producer.handle_timeout(now);
            }
            Event::Bursts => self.burst(),
            Event::Acts => self.act(),
            Event::Fails => self.fail(),
            Event::Restarts(broker) => self.restart(broker),
            Event::Elects => self.elect(),
        }
    }

    fn connection(&mut self, broker: u64) -> &mut Connection {
        &mut self.connections[usize::try_from(broker).expect("there are few brokers")]
    }

    fn delay_ms(&mut self) -> u64 {
        self.random.between(0, self.plan.delay_ms_max)
    }

    /// A request reaches its broker, unless its connection was lost before and it was not among what was left.
    fn arrive(&mut self, connection: u64, nth: u64, request: &ProduceRequest) {
        let broker = u64::from(request.node.value());
        let known = *self.connection(broker);
        let is_current = known.id == connection && known.is_up;
        let is_left = self.leftovers.get(&connection).is_some_and(|left| nth < *left);
        if !is_current && !is_left || is_current && known.is_deaf || !self.cluster.is_up[index_of(broker)] {
            return;
        }
        let mut answers = Vec::new();
        for batch in &request.batches {
            Judge::arrives(&batch.bytes, self.records);
            answers.push(self.cluster.produce(&mut self.random, broker, batch));
        }
        self.trace.say(|| format!("{}: broker {broker} does {:?}: {answers:?}", self.now_ms, request.id));
        if is_current {
            let work_ms = self.random.between(0, self.plan.work_ms_max);
            let delay_ms = self.delay_ms();
            let at_ms = (self.now_ms + work_ms + delay_ms).max(known.last_answer_ms);
            let known = self.connection(broker);
            known.arrived = nth + 1;
            known.last_answer_ms = at_ms;
            if request.acks != Acks::Zero {
                self.queue.put(at_ms, Event::Answers { connection, broker, id: request.id, answers });
            }
        }
    }

    fn connect(&mut self, broker: u64) {
        let is_up = self.cluster.is_up[index_of(broker)];
        let fails = !self.has_healed && self.random.chance(10);
        let now = Ticks(self.now_ms);
        if !is_up || fails {
            self.producer.handle(now, Input::Disconnected(node(broker)));
            return;
        }
        self.connections_made += 1;
        let id = self.connections_made;
        *self.connection(broker) = Connection { id, is_up: true, ..Connection::default() };
        self.trace.say(|| format!("{}: connected to {broker}", now.0));
        self.producer.handle(now, Input::Connected(node(broker)));
    }

    /// A connection is lost. Some of what was sent on it arrives all the same, in order.
    fn lose(&mut self, broker: u64) {
        let mut connection = *self.connection(broker);
        let left = if connection.is_deaf { 0 } else { connection.sent - connection.arrived };
        let still = self.random.between(0, left);
        self.leftovers.insert(connection.id, connection.arrived + still);
        (connection.is_up, connection.in_flight) = (false, 0);
        *self.connection(broker) = connection;
    }

    /// Metadata are asked for, after a while, once.
    fn want_metadata(&mut self) {
        if !self.is_metadata_wanted {
            self.is_metadata_wanted = true;
            let wait_ms = self.random.between(1, 50);
            self.queue.put(self.now_ms + wait_ms, Event::AsksMetadata);
        }
    }

    fn ask_metadata(&mut self) {
        if self.random.chance(self.plan.metadata_loss_percent) {
            return self.queue.put(self.now_ms + 100, Event::AsksMetadata);
        }
        self.is_metadata_wanted = false;
        let delay_ms = self.delay_ms();
        let topics: Vec<TopicUpdate> = self.producer.topics().map(|name| self.cluster.describe(name)).collect();
        self.queue.put(self.now_ms + delay_ms, Event::Metadata(topics));
    }

    fn answer_producer_id(&mut self) {
        let answer = if !self.has_healed && self.random.chance(30) {
            Err(self.random.pick(&[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NetworkException]))
        } else {
            self.producer_ids += 1;
            // Some begin where epochs are about to be used up.
            let epoch = self.random.pick(&[0, 0, i16::MAX as u16 - 2, i16::MAX as u16]);
            Ok((ProducerId::new(self.producer_ids), ProducerEpoch::new(epoch)))
        };
        self.producer.handle(Ticks(self.now_ms), Input::ProducerId(answer));
    }

    fn burst(&mut self) {
        for _ in 0..self.random.between(1, self.plan.burst_max) {
            let draft = self.draft();
            self.send_or_wait(None, draft);
        }
        let every_ms = self.random.between(1, 2 * self.plan.burst_every_ms);
        self.queue.put(self.now_ms + every_ms, Event::Bursts);
    }

    fn draft(&mut self) -> Draft {
        let at = self.random.index(self.cluster.topics.len());
        let (topic, partitions) = &self.cluster.topics[at];
        let (topic, count) = (topic.clone(), partitions.len());
        let partition = u32::try_from(self.random.index(count)).expect("there are few partitions");
        let partition = self.random.chance(40).then(|| PartitionIndex::new(partition));
        let key = self.random.chance(40).then(|| vec![u8::try_from(self.random.below(20)).expect("below 256")]);
        let is_bad = self.random.below(1_000) < self.plan.bad_permille;
        let bytes = self.random.between(0, self.plan.value_bytes_max);
        let headers = (0..self.random.pick(&[0, 0, 0, 1, 12])).map(|_| Header::new("h", [1])).collect();
        Draft { topic, partition, key, is_bad, bytes, headers }
    }

    fn send_or_wait(&mut self, waiter: Option<WaiterId>, draft: Draft) {
        let Some(refusal) = self.send(waiter, &draft) else { return };
        match refusal {
            // Nobody waits for more than a few.
            Refusal::Wait(what) if self.waiting.len() < 20 && self.random.chance(80) => {
                let deadline = Ticks(self.now_ms + self.random.pick(&[1, 100, 10_000]));
                let id = self.producer.wait(Ticks(self.now_ms), &what, deadline);
                self.waiting.insert(id, draft);
            }
            Refusal::Wait(_) | Refusal::TooLarge { .. } => {}
            other => panic!("{other}"),
        }
    }

    /// Says why the producer does not take a record, if it does not.
    fn send(&mut self, waiter: Option<WaiterId>, draft: &Draft) -> Option<Refusal> {
        let number = self.records;
        let mut value = number.to_be_bytes().to_vec();
        value.push(draft.is_bad.into());
        value.extend(
            (0..draft.bytes).map(|i| (number.wrapping_mul(i | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8),
        );
        let record = SerializedRecord {
            topic: &draft.topic,
            partition: draft.partition,
            timestamp: TimestampMs(0),
            key: draft.key.as_deref(),
            value: Some(&value),
            headers: &draft.headers,
        };
        let now = Ticks(self.now_ms);
        let sent = match waiter {
            Some(waiter) => self.producer.send_after(now, waiter, &record, number),
            None => self.producer.send(now, &record, number),
        };
        match sent {
            Ok(()) => {
                self.records += 1;
                self.judge.takes(number, self.now_ms);
                None
            }
            Err(error) => {
                assert_eq!(error.token, number, "a token that is refused comes back");
                Some(error.reason)
            }
        }
    }

    fn act(&mut self) {
        let now = Ticks(self.now_ms);
        match self.random.below(4) {
            0 => {
                self.flushes += 1;
                self.producer.flush(now);
            }
            1 if self.random.chance(20) => self.producer.abort(now),
            2 => {
                if let Some((waiter, _)) = self.waiting.pop_first() {
                    self.producer.cancel(waiter);
                }
            }
            _ => {}
        }
        let every_ms = self.random.between(1, 2_000);
        self.queue.put(self.now_ms + every_ms, Event::Acts);
    }

    fn fail(&mut self) {
        let broker = self.random.below(self.plan.brokers);
        match self.random.below(6) {
            0 => {
                let connection = self.connection(broker).id;
                self.queue.put(self.now_ms, Event::Breaks { connection, broker });
            }
            1 => self.connection(broker).is_deaf = true,
            2 => self.connection(broker).is_mute = true,
            3 => self.crash(broker),
            _ => self.move_leaders(),
        }
        let every_ms = self.random.between(1, 2 * self.plan.fault_every_ms);
        self.queue.put(self.now_ms + every_ms, Event::Fails);
    }

    fn crash(&mut self, broker: u64) {
        self.trace.say(|| format!("{}: broker {broker} stops", self.now_ms));
        self.cluster.is_up[index_of(broker)] = false;
        let connection = self.connection(broker).id;
        // It has taken what has arrived, and nothing else.
        self.connection(broker).is_deaf = true;
        let notice_ms = self.delay_ms();
        self.queue.put(self.now_ms + notice_ms, Event::Breaks { connection, broker });
        let led = self.cluster.partitions_mut().filter(|partition| partition.leader == Some(broker));
        led.for_each(|partition| partition.leader = None);
        let elect_ms = self.random.between(0, 2_000);
        self.queue.put(self.now_ms + elect_ms, Event::Elects);
        let down_ms = self.random.between(100, 4_000);
        self.queue.put(self.now_ms + down_ms, Event::Restarts(broker));
    }

    fn restart(&mut self, broker: u64) {
        if !self.cluster.is_up[index_of(broker)] {
            self.trace.say(|| format!("{}: broker {broker} starts", self.now_ms));
            self.cluster.is_up[index_of(broker)] = true;
            self.queue.put(self.now_ms, Event::Elects);
        }
    }

    /// Gives every partition without a leader one that runs.
    fn elect(&mut self) {
        let Self { random, cluster, now_ms, .. } = self;
        let up: Vec<u64> =
            (0u64..).zip(&cluster.is_up).filter(|(_, is_up)| **is_up).map(|(broker, _)| broker).collect();
        if up.is_empty() {
            return;
        }
        for partition in cluster.partitions_mut().filter(|partition| partition.leader.is_none()) {
            partition.leader = Some(random.pick(&up));
            partition.epoch += 1;
            partition.led_since_ms = *now_ms;
        }
    }

    fn move_leaders(&mut self) {
        // Not so quickly that what is left of a lost connection finds its leader back in office: no producer can tell
        // that from what has been lost.
        let settled_ms = 3 * self.plan.delay_ms_max;
        let now_ms = self.now_ms;
        let movable = self.cluster.partitions_mut().filter(|partition| partition.led_since_ms + settled_ms < now_ms);
        movable.filter(|partition| partition.epoch % 2 == now_ms as u32 % 2).for_each(|partition| {
            partition.leader = None;
        });
        let elect_ms = settled_ms + self.random.between(0, 500);
        self.queue.put(self.now_ms + elect_ms, Event::Elects);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.producer.poll_output() {
            self.do_one(output);
        }
        assert!(
            self.producer.memory_used_bytes() <= self.plan.config.buffer_memory_bytes + self.memory_slack_bytes(),
            "{} bytes are in use",
            self.producer.memory_used_bytes()
        );
        self.judge.reads(&self.plan.config, &self.cluster);
        if let Some(Ticks(at_ms)) = self.producer.poll_timeout() {
            let at_ms = at_ms.max(self.now_ms);
            if self.wakes_at_ms.is_none_or(|known| at_ms < known) {
                self.wakes_at_ms = Some(at_ms);
                self.queue.put(at_ms, Event::Wakes);
            }
        }
    }

    /// What compression adds to records that do not compress, and pieces have of headers: a little for each batch.
    fn memory_slack_bytes(&self) -> u64 {
        self.plan.config.buffer_memory_bytes / 2 + 100 * self.producer.stats().splits
    }

    fn do_one(&mut self, output: Output<u64>) {
        match output {
            Output::Completed(mut completed) => {
                let to = (completed.topic().clone(), completed.partition_index());
                for (number, result) in completed.by_ref() {
                    self.trace.say(|| format!("{}: {}-{}: {number}: {result:?}", self.now_ms, to.0, to.1));
                    self.judge.tells(&self.plan.config, &self.cluster, self.now_ms, &to, number, &result);
                }
                self.producer.recycle(completed);
            }
            Output::Send(request) => self.transmit(request),
            Output::Connect(id) => {
                let broker = u64::from(id.value());
                let settled_ms = self.connection(broker).last_arrival_ms + 1;
                let delay_ms = self.random.between(1, 100);
                self.queue.put((self.now_ms + delay_ms).max(settled_ms), Event::Connects(broker));
            }
            Output::Disconnect(id) => {
                self.trace.say(|| format!("{}: disconnects from {id}", self.now_ms));
                self.lose(u64::from(id.value()));
            }
            Output::WantTopic(_) | Output::RefreshMetadata => self.want_metadata(),
            Output::InitProducerId => {
                let delay_ms = self.delay_ms();
                self.queue.put(self.now_ms + delay_ms, Event::ProducerId);
            }
            Output::Wake(waiter, Wake::Ready) => match self.waiting.remove(&waiter) {
                Some(draft) if self.random.chance(90) => self.send_or_wait(Some(waiter), draft),
                _ => self.producer.cancel(waiter),
            },
            Output::Wake(waiter, Wake::TimedOut) => drop(self.waiting.remove(&waiter)),
            Output::Wake(_, Wake::Closed | Wake::Refused(_)) => panic!("nobody waits at the end, and topics are legal"),
            Output::Flushed(_) => self.flushes -= 1,
            Output::Closed => self.is_closed = true,
        }
    }

    fn transmit(&mut self, request: ProduceRequest) {
        let broker = u64::from(request.node.value());
        let delay_ms = self.delay_ms();
        let known = *self.connection(broker);
        assert!(known.is_up, "a request goes to a broker that is connected");
        Judge::sends(&self.plan.config, &request, known.in_flight);
        self.trace.say(|| {
            let batches: Vec<String> = request.batches.iter().map(shown).collect();
            format!("{}: sends {:?} to {broker}: {}", self.now_ms, request.id, batches.join(", "))
        });
        let at_ms = (self.now_ms + delay_ms).max(known.last_arrival_ms);
        let connection = self.connection(broker);
        connection.last_arrival_ms = at_ms;
        connection.sent += 1;
        if request.acks == Acks::Zero {
            self.queue.put(self.now_ms, Event::Sent(request.id));
        } else {
            self.connection(broker).in_flight += 1;
        }
        self.queue.put(at_ms, Event::Arrives { connection: known.id, nth: known.sent, request });
    }
}

/// A batch, by its place, its first record and its stamp.
fn shown(batch: &ProduceBatch) -> String {
    let records = records_of(&batch.bytes);
    let stamp = BatchView::parse(&batch.bytes).expect("it was read before").header().producer();
    let first = records.first().map(|(number, _)| *number);
    format!("{}-{} {} from {first:?} {stamp:?}", batch.topic, batch.partition, records.len())
}

fn index_of(broker: u64) -> usize {
    usize::try_from(broker).expect("there are few brokers")
}
