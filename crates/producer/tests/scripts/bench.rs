//! The bench that a script's producer stands on: lines to calls, outputs to lines.

use std::fmt::Write as _;
use std::sync::Arc;

use highwater_producer::{
    Input, Output, PartitionAnswer, PartitionUpdate, ProduceRequest, Producer, ProducerConfig, RequestId,
    SerializedRecord, TopicUpdate, WaitFor, WaiterId,
};
use highwater_records::{BatchView, DecompressLimit};
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Ticks, TimestampMs, TopicName,
};

#[derive(Default)]
pub(crate) struct Bench {
    producer: Option<Producer<u32>>,
    tokens: u32,
    sent: Vec<ProduceRequest>,
}

fn number<T: TryFrom<u64>>(text: &str) -> T {
    T::try_from(text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))).ok().unwrap()
}

fn code(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.name() == name)
}

fn place(text: &str) -> (TopicName, Option<PartitionIndex>) {
    match text.split_once('/') {
        Some((topic, partition)) => (TopicName::new(topic).unwrap(), Some(PartitionIndex::new(number(partition)))),
        None => (TopicName::new(text).unwrap(), None),
    }
}

/// `ab` is itself, `x100` is so many bytes of x, `~100` so many that do not compress.
fn value(text: &str) -> Vec<u8> {
    match (text.strip_prefix('x'), text.strip_prefix('~')) {
        (Some(count), _) if !count.is_empty() => vec![b'x'; number(count)],
        (_, Some(count)) => (0..number::<u32>(count)).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        _ => text.as_bytes().to_vec(),
    }
}

fn shown(value: &[u8]) -> String {
    match value {
        _ if 10 < value.len() => format!("({})", value.len()),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

impl Bench {
    /// One command. The second word is the time.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, now) = (words[0], Ticks(number(words[1])));
        let mut out = String::new();
        self.command(command, now, &words[2..], &mut out);
        self.drain(&mut out);
        let producer = self.producer.as_ref().unwrap();
        match producer.poll_timeout() {
            Some(at) => writeln!(out, "next {}", at.0).unwrap(),
            None => writeln!(out, "next never").unwrap(),
        }
        out
    }

    fn command(&mut self, command: &str, now: Ticks, words: &[&str], out: &mut String) {
        if command == "new" {
            let mut config = ProducerConfig::default();
            words.iter().for_each(|word| {
                let (key, value) = word.split_once('=').unwrap();
                config.set(key, value).unwrap();
            });
            self.producer = Some(Producer::new(config.check().unwrap(), 1, now));
            return;
        }
        let producer = self.producer.as_mut().unwrap();
        match (command, words) {
            ("tick", []) => producer.handle_timeout(now),
            ("metadata", topics) => producer.handle(now, Input::Metadata(topics.iter().map(|t| topic(t)).collect())),
            ("connect", [node]) => producer.handle(now, Input::Connected(NodeId::new(number(node)))),
            ("disconnect", [node]) => producer.handle(now, Input::Disconnected(NodeId::new(number(node)))),
            ("pid", [id, epoch]) => {
                let id = (ProducerId::new(number(id)), ProducerEpoch::new(number(epoch)));
                producer.handle(now, Input::ProducerId(Ok(id)));
            }
            ("pid", [error]) => producer.handle(now, Input::ProducerId(Err(code(error).unwrap()))),
            ("send", [at, values @ ..]) => values.iter().for_each(|value| self.send(now, None, at, value, out)),
            ("send-after", [waiter, at, value]) => self.send(now, Some(WaiterId(number(waiter))), at, value, out),
            ("wait", [deadline, "memory", bytes]) => {
                let id = producer.wait(now, &WaitFor::Memory { bytes: number(bytes) }, Ticks(number(deadline)));
                writeln!(out, "waiter {}", id.0).unwrap();
            }
            ("wait", [deadline, "topic", at]) => {
                let (topic, partition) = place(at);
                let id = producer.wait(now, &WaitFor::Topic { topic, partition }, Ticks(number(deadline)));
                writeln!(out, "waiter {}", id.0).unwrap();
            }
            ("cancel", [waiter]) => producer.cancel(WaiterId(number(waiter))),
            ("flush", []) => writeln!(out, "flush {}", producer.flush(now).0).unwrap(),
            ("close", []) => producer.close(now, None),
            ("close", [deadline]) => producer.close(now, Some(Ticks(number(deadline)))),
            ("abort", []) => producer.abort(now),
            ("sent", [id]) => producer.handle(now, Input::Sent(RequestId(number(id)))),
            ("fail", [id, error]) => {
                producer.handle(now, Input::Failed(RequestId(number(id)), code(error).unwrap()));
            }
            ("answer", [id, answers @ ..]) => {
                let id = RequestId(number(id));
                let request = self.sent.iter().find(|request| request.id == id).unwrap();
                assert!(answers.len() <= request.batches.len(), "there are not that many batches");
                let answers = request.batches.iter().zip(answers);
                let answers = answers.map(|(batch, said)| answer(batch.topic.clone(), batch.partition, said));
                producer.handle(now, Input::Answered(id, answers.collect()));
            }
            ("stats", []) => {
                writeln!(out, "{:?}, {} bytes", producer.stats(), producer.memory_used_bytes()).unwrap();
            }
            _ => panic!("unknown command: {command} {words:?}"),
        }
    }

    fn send(&mut self, now: Ticks, waiter: Option<WaiterId>, at: &str, text: &str, out: &mut String) {
        self.tokens += 1;
        let (topic, partition) = place(at);
        let (key, text) = text.split_once('=').map_or((None, text), |(key, text)| (Some(key.as_bytes()), text));
        let value = value(text);
        let timestamp = TimestampMs(1_000_000);
        let record = SerializedRecord { topic: &topic, partition, timestamp, key, value: Some(&value), headers: &[] };
        let producer = self.producer.as_mut().unwrap();
        let sent = match waiter {
            Some(waiter) => producer.send_after(now, waiter, &record, self.tokens),
            None => producer.send(now, &record, self.tokens),
        };
        if let Err(error) = sent {
            writeln!(out, "refused {}: {}", error.token, error.reason).unwrap();
        }
    }

    fn drain(&mut self, out: &mut String) {
        let producer = self.producer.as_mut().unwrap();
        while let Some(output) = producer.poll_output() {
            match output {
                Output::Send(request) => {
                    writeln!(out, "send {} to {}: {}", request.id.0, request.node, contents(&request)).unwrap();
                    self.sent.push(request);
                }
                Output::Completed(mut completed) => {
                    let place = format!("{}/{}", completed.topic(), completed.partition_index());
                    for (token, result) in completed.by_ref() {
                        match result {
                            Ok(metadata) => {
                                let offset = metadata.offset.map_or("?".to_owned(), |offset| offset.to_string());
                                writeln!(out, "{place}: {token} at {offset}").unwrap();
                            }
                            Err(error) => writeln!(out, "{place}: {token} failed: {error}").unwrap(),
                        }
                    }
                    producer.recycle(completed);
                }
                Output::Connect(node) => writeln!(out, "connect to {node}").unwrap(),
                Output::Disconnect(node) => writeln!(out, "disconnect from {node}").unwrap(),
                Output::WantTopic(topic) => writeln!(out, "want {topic}").unwrap(),
                Output::RefreshMetadata => writeln!(out, "refresh metadata").unwrap(),
                Output::InitProducerId => writeln!(out, "init producer id").unwrap(),
                Output::Wake(waiter, wake) => writeln!(out, "wake {}: {wake:?}", waiter.0).unwrap(),
                Output::Flushed(id) => writeln!(out, "flushed {}", id.0).unwrap(),
                Output::Closed => writeln!(out, "closed").unwrap(),
            }
        }
    }
}

/// `t:1,2@5,-` is a topic whose partitions are led by 1, by 2 in epoch 5, and by nobody; `t!CODE` is an error.
fn topic(text: &str) -> TopicUpdate {
    if let Some((name, error)) = text.split_once('!') {
        return TopicUpdate { name: TopicName::new(name).unwrap(), id: None, partitions: Err(code(error).unwrap()) };
    }
    let (name, partitions) = text.split_once(':').unwrap();
    let partition = |text: &str| {
        let (leader, epoch) = text.split_once('@').map_or((text, None), |(leader, epoch)| (leader, Some(epoch)));
        PartitionUpdate {
            leader: (leader != "-").then(|| NodeId::new(number(leader))),
            leader_epoch: epoch.map(|epoch| LeaderEpoch::new(number(epoch))),
            leader_rack: None,
        }
    };
    let partitions = Ok(partitions.split(',').map(partition).collect());
    TopicUpdate { name: TopicName::new(name).unwrap(), id: None, partitions }
}

/// `7` is the base offset; `CODE` an error, `CODE+2@5` with another leader in an epoch, `CODE~9` with a log start,
/// `CODE*0,2` with the records that are to blame.
fn answer(topic: TopicName, partition: PartitionIndex, text: &str) -> PartitionAnswer {
    if let Ok(base) = text.parse() {
        let base_offset = Some(Offset::new(base));
        return PartitionAnswer { base_offset, ..PartitionAnswer::new(topic, partition, ErrorCode::None) };
    }
    let end = text.find(['+', '~', '*']).unwrap_or(text.len());
    let mut answer = PartitionAnswer::new(topic, partition, code(&text[..end]).unwrap());
    match text[end..].split_at_checked(1) {
        Some(("+", leader)) => {
            let (leader, epoch) = leader.split_once('@').unwrap();
            answer.leader = Some((NodeId::new(number(leader)), LeaderEpoch::new(number(epoch))));
        }
        Some(("~", start)) => answer.log_start = Some(Offset::new(number(start))),
        Some(("*", indexes)) => {
            answer.record_errors =
                indexes.split(',').map(|index| (number(index), Some(Arc::from("bad record")))).collect();
        }
        _ => {}
    }
    answer
}

/// What a request holds: each batch with its values, and its stamp if it has one.
fn contents(request: &ProduceRequest) -> String {
    let batch = |batch: &highwater_producer::ProduceBatch| {
        let view = BatchView::parse(&batch.bytes).unwrap();
        view.check_crc().unwrap();
        let mut records = view.records(DecompressLimit::default()).unwrap();
        let mut values = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            let key = record.key.map(|key| format!("{}=", shown(key))).unwrap_or_default();
            values.push(format!("{key}{}", shown(record.value.unwrap())));
        }
        let header = view.header();
        let stamp = match header.producer_id() {
            -1 => String::new(),
            id => format!(" as {id}/{} from {}", header.producer_epoch(), header.base_sequence()),
        };
        format!("{}/{} [{}]{stamp}", batch.topic, batch.partition, values.join(" "))
    };
    request.batches.iter().map(batch).collect::<Vec<_>>().join(", ")
}
