//! Whatever the other side says, nothing panics, and the invariants hold.

use highwater_replication::fetcher::{Assignment, FetchResponse, Fetcher, FetcherConfig, PartitionKey, SessionId};
use highwater_replication::follower::{
    AppendOutcome, BatchSpan, FetchedPartition, Follower, FollowerConfig, FollowerSetup, LeaderOffsets, LogState, Plan,
};
use highwater_replication::leader::{
    FollowerFetch, Input, IsrAnswer, Leader, LeaderConfig, LeaderSetup, ProposalId, RecoveryState,
};
use highwater_replication::{EpochEnd, EpochTable};
use highwater_types::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, Ticks, TopicId,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Small ones, so that they meet, and the largest.
fn offsets() -> impl Strategy<Value = Offset> {
    prop_oneof![9 => (0..20u64).prop_map(Offset::new), 1 => Just(Offset::MAX)]
}

fn epochs() -> impl Strategy<Value = LeaderEpoch> {
    prop_oneof![9 => (0..6u32).prop_map(LeaderEpoch::new), 1 => Just(LeaderEpoch::new(i32::MAX as u32))]
}

fn codes() -> impl Strategy<Value = ErrorCode> {
    prop_oneof![
        6 => Just(ErrorCode::None),
        2 => Just(ErrorCode::OffsetOutOfRange),
        1 => select(ErrorCode::ALL.to_vec()),
    ]
}

fn answers() -> impl Strategy<Value = FetchedPartition> {
    let diverging = (epochs(), offsets()).prop_map(|(epoch, end)| EpochEnd { epoch, end });
    let batch = (offsets(), offsets()).prop_map(|(base, last)| BatchSpan { base, last });
    (codes(), option::weighted(0.3, diverging), option::of(offsets()), option::of(offsets()), option::of(batch))
        .prop_map(|(error, diverging, high_watermark, log_start, first_batch)| FetchedPartition {
            error,
            diverging,
            high_watermark,
            log_start,
            first_batch,
        })
}

struct Log {
    start: Offset,
    end: Offset,
    epochs: Vec<(LeaderEpoch, Offset)>,
}

impl Log {
    fn state(&self) -> LogState {
        LogState { start: self.start, end: self.end, latest_epoch: self.epochs.last().map(|(epoch, _)| *epoch) }
    }

    fn truncate(&mut self, to: Offset) {
        assert!(to <= self.end, "a cut does not make it longer");
        self.end = to;
        self.start = self.start.min(to);
        self.epochs.retain(|(_, start)| *start < to);
    }

    fn start_over(&mut self, at: Offset) {
        *self = Self { start: at, end: at, epochs: Vec::new() };
    }

    fn append(&mut self, epoch: LeaderEpoch, last: Offset) -> AppendOutcome {
        let Some(end) = last.checked_plus(1).filter(|end| self.end < *end) else { return AppendOutcome::Corrupt };
        if self.epochs.last().is_none_or(|(latest, _)| *latest < epoch) {
            self.epochs.push((epoch, self.end));
        }
        self.end = end;
        AppendOutcome::Appended
    }
}

impl EpochTable for Log {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let (newest, _) = *self.epochs.last()?;
        if newest <= epoch {
            return (newest == epoch).then_some(EpochEnd { epoch, end: self.end });
        }
        let above = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = self.epochs[above].1;
        Some(EpochEnd { epoch: above.checked_sub(1).map_or(epoch, |index| self.epochs[index].0), end })
    }
}

fn carry_out(follower: &mut Follower, log: &mut Log, now: Ticks, plan: Plan, last: Option<Offset>) {
    let marks = match plan {
        Plan::Nothing | Plan::AskOffsets(_) | Plan::Fail => None,
        Plan::Truncate { to } => {
            log.truncate(to);
            follower.truncated(now, log.state());
            None
        }
        Plan::StartOver { at } => {
            log.start_over(at);
            follower.truncated(now, log.state());
            None
        }
        Plan::Append { start_over_at, epoch_max } => {
            if let Some(at) = start_over_at {
                log.start_over(at);
            }
            let outcome = log.append(epoch_max, last.unwrap_or_default());
            follower.appended(now, log.state(), outcome)
        }
        Plan::Advance(marks) => Some(marks),
    };
    if let Some(marks) = marks {
        assert!(log.start <= marks.log_start && marks.log_start <= marks.high_watermark, "{marks:?}");
        assert!(marks.high_watermark <= log.end, "{marks:?}");
        log.start = marks.log_start;
    }
}

proptest! {
    #[test]
    fn a_follower_survives_its_leader(
        said in vec((answers(), option::of((offsets(), offsets())), 0..2_000u64), 1..60),
    ) {
        let epoch = LeaderEpoch::new(5);
        let mut log = Log {
            start: Offset::new(2),
            end: Offset::new(12),
            epochs: vec![(LeaderEpoch::new(1), Offset::new(2)), (LeaderEpoch::new(3), Offset::new(7))],
        };
        let mut follower = Follower::new(FollowerSetup {
            leader: Some(NodeId::new(1)),
            leader_epoch: epoch,
            log: log.state(),
            high_watermark: Offset::new(6),
            config: FollowerConfig::default(),
        });
        let mut now = Ticks(0);
        for (answer, offsets, ms) in said {
            now = now.plus_ms(ms);
            let Some(due) = follower.next_fetch() else {
                prop_assert!(follower.is_failed());
                break;
            };
            let plan = follower.handle_response(now, &due.position, &answer, &log);
            carry_out(&mut follower, &mut log, now, plan, answer.first_batch.map(|batch| batch.last));
            if let Plan::AskOffsets(position) = plan {
                let offsets = offsets.map(|(start, end)| LeaderOffsets { start, end });
                let plan = follower.offsets_answered(now, &position, offsets.ok_or(ErrorCode::RequestTimedOut));
                carry_out(&mut follower, &mut log, now, plan, None);
            }
            prop_assert_eq!(follower.log(), log.state());
            prop_assert!(log.start <= follower.high_watermark() && follower.high_watermark() <= log.end);
        }
    }

    #[test]
    fn a_fetcher_survives_its_source(
        said in vec((codes(), option::of(0..3u32), vec((0..5u32, 0..3u64), 0..5), any::<bool>()), 1..60),
    ) {
        let key = |index| PartitionKey { topic: TopicId::default(), partition: PartitionIndex::new(index) };
        let follower = Follower::new(FollowerSetup {
            leader: Some(NodeId::new(1)),
            leader_epoch: LeaderEpoch::new(5),
            log: LogState { start: Offset::ZERO, end: Offset::ZERO, latest_epoch: None },
            high_watermark: Offset::ZERO,
            config: FollowerConfig::default(),
        });
        let mut fetcher = Fetcher::new(FetcherConfig::default());
        for index in 0..3 {
            let due = follower.next_fetch();
            fetcher.assign(key(index), Assignment { due, in_sync: false, throttled: index == 0 });
        }
        let mut now = Ticks(0);
        for (error, session, partitions, answered) in said {
            now = fetcher.poll_timeout(None).expect("there is always something to fetch").max(now);
            let request = fetcher.poll_request(now, None).expect("it is due");
            prop_assert!(request.partitions.len() <= 3 && request.forgotten.is_empty());
            if !answered {
                fetcher.handle_failure(now);
                continue;
            }
            let partitions: Vec<_> = partitions.into_iter().map(|(index, bytes)| (key(index), bytes)).collect();
            let session_id = session.map(SessionId);
            let answers = fetcher.handle_response(now, &FetchResponse { error, session_id, partitions: &partitions });
            prop_assert!(answers.partitions.iter().all(|answered| answered.key.partition.value() < 3));
        }
    }

    #[test]
    fn a_leader_survives_followers_and_controller(
        events in vec((0..8u32, 1..5u32, offsets(), option::of(epochs()), option::of(0..4u64), codes(), 0..900u64), 1..80),
    ) {
        let replicas: Vec<NodeId> = (1..=3).map(NodeId::new).collect();
        let setup = LeaderSetup {
            node: NodeId::new(1),
            leader_epoch: LeaderEpoch::new(5),
            partition_epoch: PartitionEpoch::ZERO,
            isr: replicas.clone(),
            replicas: replicas.clone(),
            recovery: RecoveryState::Recovered,
            log_end: Offset::new(10),
            high_watermark: Offset::new(5),
            config: LeaderConfig { lag_ms_max: 1_000, min_insync_replicas: 2 },
        };
        let (mut now, mut high_watermark) = (Ticks(0), setup.high_watermark);
        let mut leader = Leader::new(setup, now);
        for (kind, node, offset, leader_epoch, number, code, ms) in events {
            now = now.plus_ms(ms);
            let broker_epoch = number.map(BrokerEpoch);
            let node = NodeId::new(node);
            let id = ProposalId(number.unwrap_or_default());
            let isr = vec![NodeId::new(1), node];
            let partition_epoch = PartitionEpoch::new(ms as u32 % 8);
            match kind {
                0 => leader.handle_timeout(now),
                1 => leader.handle(now, Input::BrokerChanged { node, epoch: broker_epoch, active: ms % 2 == 0 }),
                2 => leader.handle(now, Input::IsrAnswered { id, answer: IsrAnswer::from_error(code) }),
                3 => {
                    let leader_epoch = leader_epoch.unwrap_or(LeaderEpoch::new(5));
                    let answer = IsrAnswer::Committed { leader_epoch, partition_epoch, isr };
                    leader.handle(now, Input::IsrAnswered { id, answer });
                }
                4 => {
                    let (replicas, recovery) = (replicas.clone(), RecoveryState::Recovered);
                    leader.handle(now, Input::PartitionChanged { partition_epoch, replicas, isr, recovery });
                }
                _ => {
                    let log_start = Some(offset);
                    let fetch = FollowerFetch { node, broker_epoch, leader_epoch, offset, log_start };
                    leader.handle(now, Input::FollowerFetch(fetch));
                }
            }
            while leader.poll_output().is_some() {}
            prop_assert!(high_watermark <= leader.high_watermark() && leader.high_watermark() <= leader.log_end());
            high_watermark = leader.high_watermark();
        }
    }
}
