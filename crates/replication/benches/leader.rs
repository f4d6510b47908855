//! What the leader adds to every append and fetch.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use highwater_replication::leader::{
    Acks, FollowerFetch, Input, Leader, LeaderConfig, LeaderSetup, RecoveryState, Ticks,
};
use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

fn leader(replicas: u32) -> Leader {
    let replicas: Vec<NodeId> = (1..=replicas).map(NodeId::new).collect();
    let setup = LeaderSetup {
        node: NodeId::new(1),
        leader_epoch: LeaderEpoch::ZERO,
        partition_epoch: PartitionEpoch::ZERO,
        isr: replicas.clone(),
        replicas,
        recovery: RecoveryState::Recovered,
        log_end: Offset::ZERO,
        high_watermark: Offset::ZERO,
        config: LeaderConfig::default(),
    };
    Leader::new(setup, Ticks(0))
}

fn alone(c: &mut Criterion) {
    let mut leader = leader(1);
    let mut end = Offset::ZERO;
    c.bench_function("append and acknowledge, one replica", |b| {
        b.iter(|| {
            end = end.plus(10);
            black_box(leader.appended(end));
            black_box(leader.acknowledge(Acks::All, end))
        });
    });
}

fn replicated(c: &mut Criterion) {
    let mut leader = leader(3);
    let mut end = Offset::ZERO;
    let mut now = Ticks(0);
    c.bench_function("append, two followers fetch, acknowledge", |b| {
        b.iter(|| {
            end = end.plus(10);
            now = Ticks(now.0 + 1);
            black_box(leader.appended(end));
            for node in [2, 3] {
                let node = NodeId::new(node);
                let fetch =
                    FollowerFetch { node, broker_epoch: None, leader_epoch: None, offset: end, log_start: None };
                leader.handle(now, Input::FollowerFetch(fetch));
                while let Some(output) = leader.poll_output() {
                    black_box(output);
                }
            }
            black_box(leader.acknowledge(Acks::All, end))
        });
    });
}

criterion_group!(benches, alone, replicated);
criterion_main!(benches);
