//! A member of a group that commits what it reads, and says so.

use std::collections::BTreeMap;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use highwater_client::{
    Client, ConsumerBuilder, Event, GroupProtocol, Offset, OffsetAndMetadata, OffsetReset, Pending, Progress, Records,
    TopicName, TopicPartition,
};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::traffic::until_stdin_ends;
use super::{DEADLINE, Done, Failure, Options, at, number_of};

/// Prints an event. `at` is `CLOCK_MONOTONIC`, which all processes of a machine share.
pub(super) fn say(event: &str, mut fields: Value) {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
    fields["event"] = event.into();
    fields["at"] = (now.tv_sec() * 1_000_000_000 + now.tv_nsec()).into();
    println!("{fields}");
}

/// A consumer as the options say; it commits nothing by itself.
pub(super) fn builder(
    client: &Client,
    options: &Options,
    topic: &str,
    group: &str,
) -> Result<ConsumerBuilder, Failure> {
    let builder = client.consumer(group).topics([TopicName::new(topic)?]);
    let builder = builder.start_at(OffsetReset::Earliest).auto_commit(false).config("max.poll.records", BATCH);
    let builder = match options.text("protocol") {
        "consumer" => builder.protocol(GroupProtocol::Consumer),
        _ => {
            let session_ms = options.number("session-ms");
            let session_ms = if session_ms == 0 { 10_000 } else { session_ms };
            let builder = builder.config("heartbeat.interval.ms", "500");
            builder.config("session.timeout.ms", &session_ms.to_string())
        }
    };
    let builder = match options.text("strategy") {
        "" => builder,
        strategy => builder.config("partition.assignment.strategy", strategy),
    };
    Ok(match options.text("instance") {
        "" => builder,
        instance => builder.config("group.instance.id", instance),
    })
}

/// Reads and commits until stdin ends, then leaves.
pub(super) fn run(client: &Client, options: &Options) -> Done {
    let topic = options.text("topic");
    let consumer = builder(client, options, topic, options.text("group"))?.build()?;
    let mut member = Member {
        topic,
        commit: Box::new(|progress| consumer.commit(progress)),
        is_async: options.text("commit") == "async",
        positions: BTreeMap::new(),
        sent: BTreeMap::new(),
        under_way: Vec::new(),
    };
    let ended = until_stdin_ends();
    while ended.try_recv() != Err(TryRecvError::Disconnected) {
        if let Some(event) = consumer.next().wait_for(Duration::from_millis(200))? {
            member.take(event)?;
        }
        member.tell(false);
        // What was refused, once more.
        member.commit();
    }
    member.commit();
    member.tell(true);
    drop(member);
    consumer.close(DEADLINE).wait()?;
    Ok(json!({}))
}

/// Positions by partition.
type Positions = Vec<(usize, Offset)>;

struct Member<'a> {
    topic: &'a str,
    commit: Box<dyn Fn(Progress) -> Pending<()> + 'a>,
    is_async: bool,
    positions: BTreeMap<usize, Offset>,
    /// The last position that was sent, for partitions that it has.
    sent: BTreeMap<usize, Offset>,
    under_way: Vec<(Positions, Pending<()>)>,
}

impl Member<'_> {
    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Assigned { partitions } => say("assigned", json!({ "partitions": numbers(&partitions) })),
            Event::Records(records) => {
                self.read(&records);
                self.commit();
                self.tell(!self.is_async);
            }
            Event::Revoking(revocation) => {
                self.commit();
                self.tell(true);
                self.forget(&revocation.partitions);
                say("revoked", json!({ "partitions": numbers(&revocation.partitions) }));
                revocation.done();
            }
            Event::Lost { partitions } => {
                self.tell(true);
                self.forget(&partitions);
                say("revoked", json!({ "partitions": numbers(&partitions) }));
            }
            Event::Error(error) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, records: &Records) {
        let mut read = Vec::new();
        for record in records {
            let partition = number_of(record.partition());
            read.push((partition, record.offset().value()));
            self.positions.insert(partition, record.offset().next());
        }
        say("consumed", json!({ "records": read }));
    }

    fn commit(&mut self) {
        let positions: Positions = std::mem::take(&mut self.positions).into_iter().collect();
        if positions.is_empty() {
            return;
        }
        self.sent.extend(positions.iter().copied());
        say("committing", json!({ "positions": pairs(&positions) }));
        let position =
            |(partition, offset): &(usize, Offset)| (at(self.topic, *partition), OffsetAndMetadata::new(*offset));
        let pending = (self.commit)(positions.iter().map(position).collect());
        self.under_way.push((positions, pending));
    }

    /// Says what came of commits: of those that have ended, or of all.
    fn tell(&mut self, all: bool) {
        let (ended, under_way) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(_, pending)| all || pending.is_ready());
        self.under_way = under_way;
        let ended: Vec<(Positions, Pending<()>)> = ended;
        for (positions, pending) in ended {
            match pending.wait() {
                Ok(()) => say("committed", json!({ "positions": pairs(&positions) })),
                Err(error) => {
                    say("refused", json!({ "positions": pairs(&positions), "why": error.to_string() }));
                    // If the member keeps the partition nobody else will commit for it.
                    let is_last = |(partition, at): &(usize, Offset)| self.sent.get(partition) == Some(at);
                    for (partition, at) in positions.into_iter().filter(is_last) {
                        self.positions.entry(partition).or_insert(at);
                    }
                }
            }
        }
    }

    /// Whoever has the partitions next reads again what was not committed.
    fn forget(&mut self, partitions: &[TopicPartition]) {
        for partition in numbers(partitions) {
            self.positions.remove(&partition);
            self.sent.remove(&partition);
        }
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<usize> {
    partitions.iter().map(number_of).collect()
}

fn pairs(positions: &Positions) -> Vec<(usize, u64)> {
    positions.iter().map(|(partition, offset)| (*partition, offset.value())).collect()
}

/// A batch is committed as a whole; small ones leave the judge more committed positions to look at.
const BATCH: &str = "50";
