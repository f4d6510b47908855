//! Whole configurations.

use std::time::Duration;

use super::*;

/// The file that comes with Kafka 4, without most of its comments.
const STOCK: &str = include_str!("testdata/server.properties");

fn config(text: &str) -> Result<BrokerConfig, ConfigError> {
    BrokerConfig::new(parse_properties(text).unwrap())
}

/// The problems of a configuration that has some.
fn problems(text: &str) -> Vec<String> {
    config(text).expect_err(text).problems
}

fn listener(text: &str) -> Listener {
    let mut listeners = config(text).unwrap().listeners;
    assert_eq!(listeners.len(), 1, "{text}");
    listeners.remove(0)
}

#[test]
fn the_stock_file_is_accepted() {
    let config = config(STOCK).unwrap();
    assert_eq!(config.node_id, NodeId::new(1));
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("/tmp/kraft-combined-logs"));
    let listener = Listener {
        name: "PLAINTEXT".to_owned(),
        host: None,
        port: 9092,
        advertised_host: Some("localhost".to_owned()),
        advertised_port: Some(9092),
    };
    assert_eq!(config.listeners, [listener]);
    assert_eq!(config.server.send_buffer_size, None);
    assert_eq!(config.server.request_bytes_max, 104_857_600);
    assert_eq!(config.static_config.get("log.retention.hours"), Some("168"));
    assert_eq!(config.static_config.number("num.partitions"), Some(1));
    assert!(!config.notices.iter().any(Notice::is_warning), "{:?}", config.notices);
    let notices: Vec<_> = config.notices.iter().map(Notice::to_string).collect();
    assert_eq!(notices, ["configs without effect here: num.io.threads"]);
    let names: Vec<_> = config.controller_listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!((names, config.inter_broker_listener.as_str()), (vec!["CONTROLLER"], "PLAINTEXT"));
    assert_eq!(config.roles, Roles { broker: true, controller: true });
}

#[test]
fn the_tolerated_imbalance_of_kafka_3_is_read() {
    let name = "leader.imbalance.per.broker.percentage";
    let set = config(&format!("{name}=10")).unwrap();
    assert_eq!((set.static_config.number(name), set.notices.iter().any(Notice::is_warning)), (Some(10), false));
    assert_eq!(config("").unwrap().static_config.number(name), Some(0), "none, as in Kafka 4");
    assert_eq!(problems(&format!("{name}=101")).len(), 1);
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let config = config("").unwrap();
    assert_eq!(config.node_id, NodeId::new(1));
    assert_eq!((config.listeners[0].host.as_deref(), config.listeners[0].port), (None, 9092));
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kafka-logs")]);
    assert_eq!(config.rack, None);
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(config.loops, cores);
    let expected = ServerConfig::default();
    assert_eq!(config.server, expected);
    assert_eq!(expected.idle_max, Duration::from_secs(600));
    assert_eq!(expected.request_bytes_max, 104_857_600);
    assert_eq!(expected.receive_bytes_max, 268_435_456);
    assert_eq!(expected.backlog, 1024);
}

#[test]
fn what_was_set_counts() {
    let config = config(
        "node.id=7\nlog.dirs=/a, /b\nmetadata.log.dir=/b\nbroker.rack=r1\nnum.network.threads=1\n\
         connections.max.idle.ms=-1\nqueued.max.request.bytes=1000000\nsocket.listen.backlog.size=7\n\
         socket.send.buffer.bytes=200000\nsocket.receive.buffer.bytes=-1\nsocket.request.max.bytes=5000\n\
         max.connections=10\nmax.connections.per.ip=3\nmax.connections.per.ip.overrides=127.0.0.1:5,[::1]:6\n\
         max.connection.creation.rate=20",
    )
    .unwrap();
    assert_eq!(config.node_id, NodeId::new(7));
    assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("/b"));
    assert_eq!(config.rack.as_deref(), Some("r1"));
    assert_eq!(config.loops, 1);
    let server = &config.server;
    assert_eq!(server.idle_max, Duration::from_millis(u64::MAX));
    assert_eq!((server.receive_bytes_max, server.request_bytes_max, server.backlog), (1_000_000, 5000, 7));
    assert_eq!((server.send_buffer_size, server.receive_buffer_size), (Some(200_000), None));
    let limits = &server.connections;
    assert_eq!((limits.total_max, limits.per_ip_max, limits.per_second_max), (10, 3, 20));
    assert_eq!(limits.per_ip_overrides.get(&"127.0.0.1".parse().unwrap()), Some(&5));
    assert_eq!(limits.per_ip_overrides.get(&"::1".parse().unwrap()), Some(&6));
    assert!(config.notices.iter().all(|notice| matches!(notice, Notice::AdvertisedByConnection(_))));
}

#[test]
fn what_is_advertised_follows_from_both_lists() {
    let told = |text: &str| {
        let listener = listener(text);
        (listener.advertised_host, listener.advertised_port)
    };
    let host = |name: &str| Some(name.to_owned());
    assert_eq!(told("listeners=PLAINTEXT://:9092"), (None, None));
    assert_eq!(told("listeners=PLAINTEXT://0.0.0.0:9092"), (None, None));
    assert_eq!(told("listeners=PLAINTEXT://10.0.0.1:9092"), (host("10.0.0.1"), None));
    assert_eq!(told("listeners=PLAINTEXT://[::]:1\nadvertised.listeners=plaintext://h:2"), (host("h"), Some(2)));
    assert_eq!(told("listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://:2"), (None, Some(2)));
}

#[test]
fn every_problem_is_named_at_once() {
    let problems = problems(
        "zookeeper.connect=localhost:2181\nzookeeper.session.timeout.ms=1\nnum.partitions=many\nlisteners=nonsense",
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("Migrate the cluster to KRaft")));
    assert!(problems.iter().any(|problem| problem.contains("num.partitions")));
    assert!(problems.iter().any(|problem| problem.contains("`nonsense` is not NAME://host:port")));
}

/// Configurations with one fault each, and what is said about it.
#[test]
fn faults_are_refused() {
    let cases = [
        ("listeners=SSL://:9093", "listener SSL asks for SSL"),
        ("listeners=SASL_PLAINTEXT://:9093", "TLS and SASL are not supported yet"),
        ("listeners=A://:1\nlistener.security.protocol.map=A:SASL_SSL", "listener A asks for SASL_SSL"),
        ("listeners=A://:1", "does not say what listener A is"),
        ("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,X", "is not NAME:PROTOCOL"),
        ("listeners=PLAINTEXT://:1,PLAINTEXT://:2", "two listeners are called PLAINTEXT"),
        ("listeners=PLAINTEXT://:99999", "no port from 0 to 65535"),
        ("controller.listener.names=PLAINTEXT", "none for clients"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:1", "clients cannot connect to 0.0.0.0"),
        ("advertised.listeners=OTHER://h:1", "there is no listener OTHER"),
        ("security.inter.broker.protocol=SSL", "security.inter.broker.protocol=SSL is not supported yet"),
        ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "authorization is not"),
        ("process.roles=broker", "needs controller.quorum.bootstrap.servers or controller.quorum.voters"),
        ("process.roles=broker,controller,king", "must be one of: broker, controller"),
        ("controller.quorum.voters=2@b:9093,3@c:9093", "does not name node 1"),
        ("controller.quorum.voters=1@a:9093,1@b:9093", "names node 1 twice"),
        ("controller.quorum.voters=a:9093", "is not id@host:port"),
        ("process.roles=broker\ncontroller.quorum.voters=1@b:9093", "names node 1, which is not a controller"),
        ("process.roles=controller\ncontroller.quorum.voters=1@b:9093", "listeners has none that"),
        ("inter.broker.listener.name=INSIDE", "there is no such listener"),
        ("controller.quorum.bootstrap.servers=a:9093,b", "`b` is not host:port"),
        ("controller.quorum.bootstrap.servers=:9093", "`:9093` is not host:port"),
        ("node.id=1\nbroker.id=2", "must be the same"),
        ("node.id=-5", "node.id"),
        ("log.dirs=/a,/a", "a directory twice"),
        ("log.dirs=/a\nmetadata.log.dir=/b", "metadata.log.dir must be one of log.dirs"),
        ("max.connections.per.ip.overrides=nobody", "is not host:count"),
        ("auto.create.topics.enable=yes", "auto.create.topics.enable"),
        ("remote.log.storage.system.enable=true", "tiered storage is not supported yet"),
    ];
    for (text, expected) in cases {
        let problems = problems(text);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text:?} gives {problems:?}");
    }
}

#[test]
fn unknown_keys_are_warned_about_with_the_nearest() {
    let config = config("log.retention.hour=1\nlisteners=PLAINTEXT://localhost:1").unwrap();
    assert_eq!(config.notices.len(), 1);
    assert!(config.notices[0].is_warning());
    assert_eq!(
        config.notices[0].to_string(),
        "unknown config `log.retention.hour`; did you mean `log.retention.hours`?"
    );
}

#[test]
fn the_container_environment_of_the_documentation_works() {
    let variables = [
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:9092"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("KAFKA_NUM_PARTITIONS", "3"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
    ];
    let environment = kafka_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut properties = parse_properties(STOCK).unwrap();
    properties.extend(environment.properties);
    let config = BrokerConfig::new(properties).unwrap();
    assert_eq!(config.static_config.number("num.partitions"), Some(3), "the environment wins over the file");
    assert!(!config.notices.iter().any(Notice::is_warning), "{:?}", config.notices);
}

#[test]
fn an_embedded_broker_listens_on_a_free_port_of_localhost() {
    let config = BrokerConfig::embedded(Path::new("/data"));
    assert_eq!(config.static_config.get("log.dirs"), Some("/data"));
    assert_eq!(config.server_config().unwrap().listeners, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(
        (&config.log_dirs[..], config.metadata_log_dir.as_path()),
        (&[PathBuf::from("/data")][..], Path::new("/data"))
    );
}
