//! The bench that a script's consumer stands on: lines to calls, outputs to lines.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use highwater_consumer::{
    Consumer, ConsumerConfig, Event, Failure, Input, MetadataUpdate, OffsetAndMetadata, Output, PartitionUpdate,
    Progress, Request, RequestId, RevocationId, SeekTo, TopicUpdate,
};
use highwater_types::{
    LeaderEpoch, NodeId, Offset, PartitionIndex, Ticks, TimestampMs, TopicId, TopicName, TopicPartition, Uuid,
};

use crate::answer::{code, parse};
use crate::show;

#[derive(Default)]
pub(crate) struct Bench {
    consumer: Option<Consumer<u32>>,
    tokens: u32,
    /// The last that was told.
    revoking: Option<RevocationId>,
    /// By kind, in order.
    sent: BTreeMap<String, Vec<(RequestId, Request)>>,
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

pub(crate) fn partition(text: &str) -> TopicPartition {
    let (topic, index) = text.rsplit_once('-').unwrap();
    TopicPartition::new(TopicName::new(topic).unwrap(), PartitionIndex::new(number(index)))
}

/// Every topic has its own, by its first letter.
pub(crate) fn topic_id(topic: &TopicName) -> TopicId {
    let mut bytes = [1; 16];
    bytes[0] = topic.as_str().as_bytes()[0];
    TopicId(Uuid::from_bytes(bytes))
}

/// `t:1@5,2@5,?` has three partitions, the last without a leader; `t!ERROR`, and `t:` has none.
fn topic(text: &str) -> TopicUpdate {
    let (name, partitions) = match text.split_once('!') {
        Some((name, error)) => (name, Err(code(error).unwrap())),
        None => {
            let (name, partitions) = text.split_once(':').unwrap();
            let partitions = partitions.split(',').filter(|one| !one.is_empty()).map(|one| {
                let (leader, epoch) = one.split_once('@').unwrap_or((one, "?"));
                let leader = (leader != "?").then(|| NodeId::new(number(leader)));
                let leader_epoch = (epoch != "?").then(|| LeaderEpoch::new(number(epoch)));
                PartitionUpdate { leader, leader_epoch }
            });
            (name, Ok(partitions.collect()))
        }
    };
    let name = TopicName::new(name).unwrap();
    TopicUpdate { id: Some(topic_id(&name)), is_internal: name.is_internal(), name, partitions }
}

fn outcome<E: Display>(out: &mut String, result: Result<(), E>) {
    if let Err(error) = result {
        writeln!(out, "refused: {error}").unwrap();
    }
}

impl Bench {
    /// One command. The second word is the time.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, now) = (words[0], Ticks(number(words[1])));
        let mut out = String::new();
        self.command(command, now, &words[2..], &mut out);
        let consumer = self.consumer.as_mut().unwrap();
        while let Some(output) = consumer.poll_output() {
            writeln!(out, "{}", show::output(&output)).unwrap();
            if let Output::Request { id, to, request } = output {
                self.sent.entry(show::kind(to, &request)).or_default().push((id, request));
            }
        }
        match consumer.poll_timeout() {
            Some(at) => writeln!(out, "next {}", at.0).unwrap(),
            None => writeln!(out, "next never").unwrap(),
        }
        out
    }

    fn command(&mut self, command: &str, now: Ticks, words: &[&str], out: &mut String) {
        if command == "new" {
            let mut config = ConsumerConfig::default();
            words.iter().for_each(|word| {
                let (key, value) = word.split_once('=').unwrap();
                config.set(key, value).unwrap();
            });
            self.consumer = Some(Consumer::new(config.check().unwrap(), 1, now));
            return;
        }
        let consumer = self.consumer.as_mut().unwrap();
        let partitions = || words.iter().map(|word| partition(word));
        match (command, words) {
            ("tick", []) => consumer.handle_timeout(now),
            ("subscribe", topics) => {
                let topics = topics.iter().map(|topic| TopicName::new(topic).unwrap()).collect();
                outcome(out, consumer.subscribe(now, topics));
            }
            ("pattern", [pattern]) => outcome(out, consumer.subscribe_pattern(now, pattern)),
            ("assign", _) => outcome(out, consumer.assign(now, partitions().collect())),
            ("unsubscribe", []) => consumer.unsubscribe(now),
            ("metadata", ["all", topics @ ..]) => {
                let topics = topics.iter().map(|text| topic(text)).collect();
                consumer.handle(now, Input::Metadata(MetadataUpdate { topics, is_complete: true }));
            }
            ("metadata", topics) => {
                let topics = topics.iter().map(|text| topic(text)).collect();
                consumer.handle(now, Input::Metadata(MetadataUpdate { topics, is_complete: false }));
            }
            ("pause", _) => outcome(out, consumer.pause(&partitions().collect::<Vec<_>>())),
            ("resume", _) => outcome(out, consumer.resume(now, &partitions().collect::<Vec<_>>())),
            ("seek", [name, to]) => {
                let to = match *to {
                    "beginning" => SeekTo::Beginning,
                    "end" => SeekTo::End,
                    to => match to.strip_prefix("time=") {
                        Some(time) => SeekTo::Timestamp(TimestampMs(number(time))),
                        None => SeekTo::Offset(Offset::new(number(to))),
                    },
                };
                outcome(out, consumer.seek(now, &partition(name), to));
            }
            ("position", [name]) => match consumer.position(&partition(name)) {
                Ok(Some(offset)) => writeln!(out, "{offset}").unwrap(),
                Ok(None) => writeln!(out, "unknown").unwrap(),
                Err(error) => writeln!(out, "refused: {error}").unwrap(),
            },
            ("poll", []) => match consumer.poll_event(now) {
                Some(event) => {
                    if let Event::Revoking(revoking) = &event {
                        self.revoking = Some(revoking.id);
                    }
                    writeln!(out, "{}", show::event(&event)).unwrap();
                }
                None => writeln!(out, "nothing").unwrap(),
            },
            ("stop-waiting", []) => consumer.stop_waiting(now),
            ("ack", [id]) => consumer.acknowledge(now, RevocationId(number(id))),
            ("ack", []) => match self.revoking {
                Some(id) => consumer.acknowledge(now, id),
                None => writeln!(out, "nothing is being revoked").unwrap(),
            },
            ("commit", offsets) => {
                self.tokens += 1;
                let progress: Progress = match offsets {
                    ["given"] => consumer.progress(),
                    _ => offsets.iter().map(|offset| committed(offset)).collect(),
                };
                consumer.commit(now, progress, self.tokens);
            }
            ("committed", _) => {
                self.tokens += 1;
                consumer.committed(now, partitions().collect(), self.tokens);
            }
            ("close", []) => consumer.close(now, None),
            ("close", [deadline]) => consumer.close(now, Some(Ticks(number(deadline)))),
            ("answer", [name, answer @ ..]) => {
                let (id, request) = find(&self.sent, name);
                consumer.handle(now, Input::Answered(*id, parse(request, answer)));
            }
            ("fail", [name, failure]) => {
                let (id, _) = find(&self.sent, name);
                let failure = match *failure {
                    "disconnected" => Failure::Disconnected,
                    "timed-out" => Failure::TimedOut,
                    "unsupported" => Failure::Unsupported,
                    other => panic!("unknown failure {other}"),
                };
                consumer.handle(now, Input::Failed(*id, failure));
            }
            ("stats", []) => writeln!(out, "{:?}", consumer.stats()).unwrap(),
            ("assignment", []) => {
                let names: Vec<String> = consumer.assignment().map(ToString::to_string).collect();
                writeln!(out, "has {}", names.join(" ")).unwrap();
            }
            _ => panic!("unknown command: {command} {words:?}"),
        }
    }
}

/// The last request of a kind, or with an apostrophe the one before.
fn find<'a>(sent: &'a BTreeMap<String, Vec<(RequestId, Request)>>, name: &str) -> &'a (RequestId, Request) {
    let kind = name.trim_end_matches('\'');
    let back = name.len() - kind.len() + 1;
    let sent = sent.get(kind).unwrap_or_else(|| panic!("no {kind} was sent"));
    &sent[sent.len() - back]
}

fn committed(text: &str) -> (TopicPartition, OffsetAndMetadata) {
    let (name, offset) = text.split_once('=').unwrap();
    (partition(name), OffsetAndMetadata::new(Offset::new(number(offset))))
}
