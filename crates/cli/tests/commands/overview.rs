//! `highwater cluster`, `broker`, `partition` and `disk`.

use serde_json::Value;

use crate::process::Running;

fn objects(out: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(out).unwrap().as_array().unwrap().clone()
}

#[test]
fn a_cluster_is_seen_as_a_whole() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    let id = broker.ask(&["cluster", "id"]).1;
    assert_eq!(id.trim_end().len(), 22, "{id}");
    let status = objects(&broker.ask(&["cluster", "status", "-o", "json"]).1);
    assert_eq!(status[0]["cluster"], id.trim_end());
    let numbers = ["controller", "brokers", "topics", "partitions", "offline", "under_replicated"];
    let numbers: Vec<_> = numbers.iter().map(|key| status[0][key].as_i64().unwrap()).collect();
    assert_eq!((&status[0]["state"], numbers), (&Value::from("ok"), vec![1, 1, 1, 2, 0, 0]));
    assert_eq!(
        broker.ask(&["cluster", "health", "--check"]),
        (
            Some(0),
            "\
CHECK               STATE  COUNT  WHICH
controller          ok         0
offline-partitions  ok         0
under-minimum-isr   ok         0
under-replicated    ok         0
fenced-brokers      ok         0
"
            .into(),
            String::new()
        )
    );
    let quorum = objects(&broker.ask(&["cluster", "quorum", "-o", "json"]).1);
    assert_eq!((quorum.len(), &quorum[0]["node"], &quorum[0]["role"]), (1, &1.into(), &"leader".into()));
    let features = broker.ask(&["cluster", "features", "-o", "name"]).1;
    assert!(features.lines().any(|name| name == "metadata.version"), "{features}");
    let versions = broker.ask(&["cluster", "api-versions", "--broker", "1", "--no-headers"]).1;
    assert!(versions.lines().any(|line| line.starts_with("Produce ")), "{versions}");
}

#[test]
fn brokers_and_their_directories_are_shown() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    broker.tell(&["produce", "t", "-p", "0"], &"x".repeat(1000));
    let port = broker.address.port();
    assert_eq!(broker.ask(&["broker", "ls", "--no-headers"]).1, format!("1  127.0.0.1  {port}  -  up  yes\n"));
    let described = objects(&broker.ask(&["broker", "describe", "-o", "json"]).1);
    assert_eq!((&described[0]["leaders"], &described[0]["replicas"]), (&2.into(), &2.into()));
    assert_eq!(broker.ask(&["broker", "describe", "7"]).0, Some(3));
    let config = broker.ask(&["broker", "config", "1"]).1;
    assert!(
        config.lines().any(|line| line.starts_with("listeners ") && line.ends_with("STATIC_BROKER_CONFIG")),
        "{config}"
    );

    let directories = objects(&broker.ask(&["disk", "ls", "-o", "json"]).1);
    assert_eq!((&directories[0]["broker"], &directories[0]["state"]), (&1.into(), &"online".into()));
    let usage = objects(&broker.ask(&["disk", "usage", "-o", "json"]).1);
    assert_eq!(usage[0]["topic"], "t");
    assert!(1000 < usage[0]["bytes"].as_i64().unwrap());
    let replicas = broker.ask(&["disk", "usage", "--replicas", "-o", "csv", "--no-headers"]).1;
    assert!(replicas.starts_with("t,0,1,10") && replicas.lines().count() == 2, "{replicas}");
}

#[test]
fn partitions_move_between_brokers_and_leaders_are_elected() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Running::cluster(2, folder.path());
    broker.create_on_node_1("t", "1,1");
    assert_eq!(
        broker.ask(&["partition", "ls", "t"]).1,
        "\
TOPIC  PARTITION  LEADER  REPLICAS  ISR  STATE
t              0       1  1         1    ok
t              1       1  1         1    ok
"
    );
    let (code, out, _) = broker.ask(&["partition", "move", "t", "--to", "2,1"]);
    assert_eq!(code, Some(2));
    assert_eq!(out.lines().last(), Some("t              1  1         1,2"));
    let (code, out, err) = broker.ask(&["partition", "move", "t:0", "--to", "2", "--yes", "--no-headers"]);
    assert_eq!((code, out.as_str()), (Some(0), "t-0  started  -\n"), "{err}");
    // Each look takes a round trip; a move of an empty partition takes a few.
    let mut looks = (0..1000).map(|_| broker.ask(&["partition", "move-status", "--check"]).0);
    assert!(looks.any(|code| code == Some(0)));
    let ls = ["partition", "ls", "--broker", "2", "t", "-o", "csv", "--no-headers"];
    assert!((0..1000).any(|_| broker.ask(&ls).1 == "t,0,2,2,2,ok\n"));
    assert_eq!(broker.ask(&["partition", "move-cancel", "t:0", "--yes"]).0, Some(3));
    assert_eq!(broker.ask(&["partition", "elect", "t", "--yes", "--no-headers"]).0, Some(0));
}
