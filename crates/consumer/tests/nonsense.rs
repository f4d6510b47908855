//! Brokers and drivers that say whatever comes to their mind: nothing panics, hangs or grows without end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use highwater_consumer::{
    AbortedTransaction, Answer, Consumer, ConsumerConfig, ConsumerGroupHeartbeatAnswer, Event, Failure, FetchAnswer,
    FetchedPartition, GroupMember, GroupProtocol, Input, JoinGroupAnswer, ListOffsetsAnswer, MemberSubscription,
    MetadataUpdate, OffsetAndMetadata, OffsetFetchAnswer, OffsetForLeaderEpochAnswer, Output, PartitionUpdate,
    Progress, RequestId, RevocationId, SeekTo, TopicUpdate,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec, Compression};
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, Ticks, TimestampMs, TopicId, TopicName,
    TopicPartition, Uuid,
};

struct Nonsense(u64);

impl Nonsense {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) != 0).then(|| make(self))
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(5)).map(|_| make(self)).collect()
    }

    fn code(&mut self) -> ErrorCode {
        // Half of them well, so that something happens.
        match self.below(2) {
            0 => ErrorCode::None,
            _ => ErrorCode::ALL[self.below(ErrorCode::ALL.len() as u64) as usize],
        }
    }

    fn offset(&mut self) -> Offset {
        match self.below(8) {
            0 => Offset::MAX,
            _ => Offset::new(self.below(20)),
        }
    }

    fn epoch(&mut self) -> LeaderEpoch {
        LeaderEpoch::new(self.below(4) as u32)
    }

    fn number(&mut self) -> u32 {
        if self.below(9) == 0 { u32::MAX } else { self.below(6) as u32 }
    }

    fn topic(&mut self) -> TopicName {
        TopicName::new(["t", "u", "v"][self.below(3) as usize]).unwrap()
    }

    fn id(&mut self) -> TopicId {
        TopicId(Uuid::from_bytes([self.below(4) as u8; 16]))
    }

    fn partition(&mut self) -> TopicPartition {
        TopicPartition::new(self.topic(), PartitionIndex::new(self.below(3) as u32))
    }

    fn text(&mut self) -> std::sync::Arc<str> {
        ["", "m-1", "m-2", "range", "cooperative-sticky"][self.below(5) as usize].into()
    }

    fn at(&mut self) -> OffsetAndMetadata {
        OffsetAndMetadata { offset: self.offset(), leader_epoch: self.some(Self::epoch), metadata: None }
    }

    fn records(&mut self) -> Bytes {
        let base_offset = if self.below(9) == 0 { i64::MAX - 3 } else { self.below(20) as i64 };
        let compression = [Compression::NONE, Compression::new(Codec::Lz4)][self.below(2) as usize];
        let options = BatchOptions { base_offset, compression, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        (0..3).for_each(|_| drop(builder.append(1, Some(b"k"), Some(b"v"), &[])));
        let mut bytes = builder.finish().unwrap();
        bytes.extend(bytes.clone());
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() as u64) as usize;
            bytes[at] = self.bits() as u8;
        }
        bytes.truncate(self.below(2 * bytes.len() as u64) as usize);
        bytes.into()
    }

    fn answer(&mut self) -> Answer {
        match self.below(13) {
            0 => Answer::FindCoordinator(if self.below(4) == 0 { Err(self.code()) } else { Ok(NodeId::new(1)) }),
            1 => Answer::JoinGroup(JoinGroupAnswer {
                error: self.code(),
                member: self.text(),
                generation: self.number(),
                protocol: self.text(),
                is_leader: self.below(2) == 0,
                skip_assignment: self.below(4) == 0,
                members: self.list(|by| GroupMember {
                    id: by.text(),
                    instance: by.some(Self::text),
                    subscription: MemberSubscription {
                        topics: by.list(Self::topic),
                        owned: by.list(Self::partition),
                        generation: by.some(Self::number),
                        rack: None,
                    },
                }),
            }),
            2 => Answer::SyncGroup(if self.below(4) == 0 { Err(self.code()) } else { Ok(self.list(Self::partition)) }),
            3 => Answer::Heartbeat(self.code()),
            4 => Answer::LeaveGroup(self.code()),
            5 => Answer::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatAnswer {
                error: self.code(),
                message: None,
                epoch: self.number(),
                interval_ms: self.number(),
                assignment: self
                    .some(|by| by.list(|by| (by.id(), by.list(|by| PartitionIndex::new(by.below(4) as u32))))),
            }),
            6 => Answer::OffsetCommit(self.list(|by| (by.partition(), by.code()))),
            7 => Answer::OffsetFetch(OffsetFetchAnswer {
                error: self.code(),
                partitions: self.list(|by| {
                    let at = if by.below(4) == 0 { Err(by.code()) } else { Ok(by.some(Self::at)) };
                    (by.partition(), at)
                }),
            }),
            8 => Answer::ListOffsets(self.list(|by| ListOffsetsAnswer {
                partition: by.partition(),
                error: by.code(),
                offset: by.some(Self::offset),
                timestamp: TimestampMs::NONE,
                leader_epoch: by.some(Self::epoch),
            })),
            9 => Answer::OffsetForLeaderEpoch(self.list(|by| OffsetForLeaderEpochAnswer {
                partition: by.partition(),
                error: by.code(),
                leader_epoch: by.some(Self::epoch),
                end_offset: by.some(Self::offset),
            })),
            _ => Answer::Fetch(FetchAnswer {
                error: self.code(),
                session: self.number() as i32,
                partitions: self.list(Self::fetched),
            }),
        }
    }

    fn fetched(&mut self) -> FetchedPartition {
        let (name, error, records) = (self.partition(), self.code(), self.records());
        let mut said = FetchedPartition::new(name.topic, name.partition, error, records);
        said.high_watermark = self.some(Self::offset);
        said.last_stable = self.some(Self::offset);
        said.preferred_replica = self.some(|by| NodeId::new(by.number() & 7)).filter(|node| node.value() == 3);
        said.leader = self.some(|by| (NodeId::new(by.below(3) as u32), by.epoch()));
        said.aborted =
            self.list(|by| AbortedTransaction { producer_id: ProducerId::new(by.below(3)), first_offset: by.offset() });
        said
    }

    fn metadata(&mut self) -> MetadataUpdate {
        let topics = self.list(|by| TopicUpdate {
            name: by.topic(),
            id: by.some(Self::id),
            is_internal: by.below(9) == 0,
            partitions: if by.below(5) == 0 {
                Err(by.code())
            } else {
                Ok(by.list(|by| PartitionUpdate {
                    leader: by.some(|by| NodeId::new(by.below(3) as u32)),
                    leader_epoch: by.some(Self::epoch),
                }))
            },
        });
        MetadataUpdate { topics, is_complete: self.below(2) == 0 }
    }
}

/// One call of whatever kind.
fn call(by: &mut Nonsense, consumer: &mut Consumer<u64>, now: Ticks, asked: &[RequestId]) {
    let id = match asked.len() as u64 {
        0 => RequestId(by.below(9)),
        count => asked[by.below(count) as usize],
    };
    match by.below(40) {
        0 => drop(consumer.subscribe(now, by.list(Nonsense::topic).into_iter().collect())),
        1 => drop(consumer.subscribe_pattern(now, ["t|u", ".*", "v"][by.below(3) as usize])),
        2 => drop(consumer.assign(now, by.list(Nonsense::partition).into_iter().collect())),
        3 if by.below(4) == 0 => consumer.unsubscribe(now),
        4 => drop(consumer.pause(&[by.partition()])),
        5 => drop(consumer.resume(now, &[by.partition()])),
        6 => {
            let to = [SeekTo::Offset(by.offset()), SeekTo::Beginning, SeekTo::End][by.below(3) as usize];
            drop(consumer.seek(now, &by.partition(), to));
        }
        7 => {
            let progress: Progress = by.list(|by| (by.partition(), by.at())).into_iter().collect();
            consumer.commit(now, progress, 1);
        }
        8 => consumer.committed(now, by.list(Nonsense::partition).into_iter().collect(), 1),
        9 => consumer.stop_waiting(now),
        10 => consumer.acknowledge(now, RevocationId(by.below(50))),
        11..=16 => match consumer.poll_event(now) {
            Some(Event::Records(records)) => records.iter().for_each(|record| assert!(record.headers().len() < 9)),
            Some(Event::Revoking(revoking)) if by.below(2) == 0 => consumer.acknowledge(now, revoking.id),
            _ => {}
        },
        17..=19 => consumer.handle(now, Input::Metadata(by.metadata())),
        20 => {
            let failure = [Failure::Disconnected, Failure::TimedOut, Failure::Unsupported][by.below(3) as usize];
            consumer.handle(now, Input::Failed(id, failure));
        }
        21 if by.below(50) == 0 => consumer.close(now, None),
        _ => consumer.handle(now, Input::Answered(id, by.answer())),
    }
}

#[test]
fn nonsense_is_survived() {
    for seed in 0..300 {
        let by = &mut Nonsense(seed);
        let config = ConsumerConfig {
            group_id: by.some(|_| "g".to_owned()),
            group_instance_id: by.some(|_| "i".to_owned()),
            group_protocol: [GroupProtocol::Classic, GroupProtocol::Consumer, GroupProtocol::Auto]
                [by.below(3) as usize],
            check_crcs: by.below(2) == 0,
            enable_partition_eof: true,
            poll_records_max: 2,
            poll_interval_ms_max: 1_000,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(config.check().unwrap(), seed, Ticks(0));
        let mut now = Ticks(0);
        let mut asked: Vec<RequestId> = Vec::new();
        for _ in 0..400 {
            call(by, &mut consumer, now, &asked);
            let mut outputs = 0;
            while let Some(output) = consumer.poll_output() {
                outputs += 1;
                assert!(outputs < 200, "one call has outputs without end: {output:?}");
                if let Output::Request { id, .. } = output {
                    asked.push(id);
                }
            }
            if 8 < asked.len() {
                asked.remove(0);
            }
            match consumer.poll_timeout() {
                Some(due) if by.below(2) == 0 => {
                    now = now.max(due);
                    consumer.handle_timeout(now);
                    // What was due is done, or was put off.
                    let due = consumer.poll_timeout();
                    assert!(due.is_none_or(|due| now < due) || consumer.poll_output().is_some(), "nothing happens");
                }
                _ => now = now.plus_ms(by.below(50)),
            }
        }
    }
}

#[test]
fn a_consumer_and_its_records_go_to_other_threads() {
    fn goes<T: Send + 'static>() {}
    goes::<Consumer<u64>>();
    goes::<Event>();
    goes::<Progress>();
}
