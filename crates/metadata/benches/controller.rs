//! Deciding, applying and publishing in a cluster that has many topics already.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use highwater_metadata::config::ConfigResolver;
use highwater_metadata::{
    BrokerRegistration, Controller, ControllerConfig, CreateTopics, Decision, Endpoint, FeatureRange, NewTopic,
    StaticConfig,
};
use highwater_types::{DirectoryId, NodeId, Offset, TopicId, Uuid};

const TOPICS: u128 = 10_000;

fn commit<R>(controller: &mut Controller, decision: Decision<R>) -> R {
    for record in &decision.records {
        controller.apply(record).unwrap();
    }
    decision.response
}

fn topic(number: u128) -> (CreateTopics, [TopicId; 1]) {
    let topic = NewTopic {
        name: format!("topic-{number:06}"),
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let id = TopicId(Uuid::from_bytes((1_000 + number).to_be_bytes()));
    (CreateTopics { topics: vec![topic], validate_only: false }, [id])
}

fn controller() -> Controller {
    let node = NodeId::new(1);
    let config = ControllerConfig {
        cluster_id: "5L6g3nShT-eMCtK--X86sw".to_owned(),
        node,
        static_config: StaticConfig::default(),
    };
    let mut controller = Controller::new(config);
    let bootstrap = controller.bootstrap();
    commit(&mut controller, bootstrap);
    let registration = BrokerRegistration {
        node,
        incarnation: Uuid::from_bytes([7; 16]),
        endpoints: vec![Endpoint {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![
            FeatureRange { name: "metadata.version".to_owned(), min: 22, max: 30 },
            FeatureRange { name: "group.version".to_owned(), min: 0, max: 1 },
        ],
        rack: None,
        log_dirs: vec![DirectoryId(Uuid::from_bytes([8; 16]))],
        previous_epoch: None,
    };
    let registered = controller.register_broker(&registration, Offset::new(1)).unwrap();
    let epoch = commit(&mut controller, registered);
    let unfenced = controller.unfence_broker(node, epoch).unwrap();
    commit(&mut controller, unfenced);
    for number in 0..TOPICS {
        let (request, ids) = topic(number);
        let decision = controller.create_topics(&request, &ids);
        commit(&mut controller, decision);
    }
    controller
}

fn many_topics(c: &mut Criterion) {
    let mut controller = controller();
    let image = controller.image();
    c.bench_function("look up a topic by name among 10,000", |b| {
        b.iter(|| black_box(image.topic(black_box("topic-004711"))).is_some());
    });
    let static_config = StaticConfig::default();
    let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
    c.bench_function("effective configuration of a topic", |b| {
        b.iter(|| resolver.topic_config(black_box("topic-004711")));
    });
    let mut number = TOPICS;
    c.bench_function("create a topic and publish the image", |b| {
        b.iter_batched(
            || {
                number += 1;
                topic(number)
            },
            |(request, ids)| {
                let decision = controller.create_topics(&request, &ids);
                commit(&mut controller, decision);
                black_box(controller.image())
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, many_topics);
criterion_main!(benches);
