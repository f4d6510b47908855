//! Kafka's tools that talk to a cluster. The texts are what those of Kafka 4.3 print against the same broker.

use std::fs;

use crate::process::Running;

/// Runs a tool that has to succeed, and gives what it prints.
fn done(broker: &Running, tool: &str, arguments: &[&str]) -> String {
    let (code, out, err) = broker.tool(tool, arguments, "");
    assert_eq!(code, Some(0), "{tool} {arguments:?}: {out}{err}");
    out
}

/// The first match of a topic id, the cluster's id, or a directory id.
fn without_ids(text: &str) -> String {
    regex::Regex::new(r"[A-Za-z0-9_-]{22}").unwrap().replace_all(text, "ID").into_owned()
}

#[test]
fn topics() {
    let (broker, _folder) = Running::alone();
    let created = done(
        &broker,
        "kafka-topics",
        &["--create", "--topic", "t1", "--partitions", "2", "--config", "retention.ms=1000"],
    );
    assert_eq!(created, "Created topic t1.\n");
    let (code, out, _) = broker.tool("kafka-topics", &["--create", "--topic", "t1"], "");
    assert_eq!((code, out.as_str()), (Some(1), "Error while executing topic command : Topic 't1' already exists.\n"));
    let created = done(&broker, "kafka-topics", &["--create", "--topic", "a.b", "--if-not-exists"]);
    assert_eq!(
        created,
        "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To \
         avoid issues it is best to use either, but not both.\nCreated topic a.b.\n"
    );
    assert_eq!(done(&broker, "kafka-topics", &["--list"]), "a.b\nt1\n");
    assert_eq!(
        without_ids(&done(&broker, "kafka-topics", &["--describe", "--topic", "t1"])),
        "Topic: t1\tTopicId: ID\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=1000\n\
         \tTopic: t1\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n\
         \tTopic: t1\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n"
    );
    assert_eq!(done(&broker, "kafka-topics", &["--describe", "--under-replicated-partitions"]), "");
    let overridden = done(&broker, "kafka-topics", &["--describe", "--topics-with-overrides"]);
    assert_eq!((overridden.lines().count(), overridden.starts_with("Topic: t1\t")), (1, true), "{overridden}");
    let (code, out, _) = broker.tool("kafka-topics", &["--describe", "--topic", "nope"], "");
    let missing = "Error while executing topic command : Topic 'nope' does not exist as expected\n";
    assert_eq!((code, out.as_str()), (Some(1), missing));
    assert_eq!(done(&broker, "kafka-topics", &["--alter", "--topic", "t1", "--partitions", "3"]), "");
    assert_eq!(broker.tool("kafka-topics", &["--alter", "--topic", "t1", "--partitions", "2"], "").0, Some(1));
    assert_eq!(done(&broker, "kafka-topics", &["--delete", "--topic", "a.*"]), "");
    assert_eq!(done(&broker, "kafka-topics", &["--list"]), "t1\n");
    assert_eq!(broker.tool("kafka-topics", &["--delete", "--topic", "nope"], "").0, Some(1));
    assert_eq!(done(&broker, "kafka-topics", &["--delete", "--topic", "nope", "--if-exists"]), "");
    assert_eq!(broker.tool("kafka-topics", &[], "").0, Some(1));
}

#[test]
fn consoles() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    let properties = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    let headers = ["--property", "parse.headers=true", "--property", "null.marker=NULL"];
    let arguments = [&["--topic", "t"], &properties[..], &headers].concat();
    let sent = broker.tool("kafka-console-producer", &arguments, "h:x,i:y\tk1:v1\nNULL\tk2:NULL\n");
    assert_eq!(sent, (Some(0), String::new(), String::new()));
    let (code, _, err) = broker.tool("kafka-console-producer", &arguments, "nothing\n");
    assert_eq!((code, err.contains("No headers separator found on line number 1")), (Some(1), true), "{err}");
    let arguments = ["--topic", "t", "--compression-codec", "lz4", "--producer-property", "acks=1", "--sync"];
    assert_eq!(broker.tool("kafka-console-producer", &arguments, "plain\n").0, Some(0));

    let plain = broker.tool("kafka-console-consumer", &["--topic", "t", "--from-beginning", "--max-messages", "3"], "");
    assert_eq!(plain, (Some(0), "v1\nnull\nplain\n".into(), "Processed a total of 3 messages\n".into()));
    let all = ["print.key=true", "print.offset=true", "print.partition=true", "print.headers=true"];
    let all = all.iter().flat_map(|property| ["--formatter-property", property]);
    let arguments: Vec<&str> = ["--topic", "t", "--partition", "0", "--offset", "earliest", "--timeout-ms", "300"]
        .into_iter()
        .chain(all)
        .collect();
    assert_eq!(
        done(&broker, "kafka-console-consumer", &arguments),
        "Partition:0\tOffset:0\th:x,i:y\tk1\tv1\n\
         Partition:0\tOffset:1\tNO_HEADERS\tk2\tnull\n\
         Partition:0\tOffset:2\tNO_HEADERS\tnull\tplain\n"
    );
    let timed = [
        "--topic",
        "t",
        "--partition",
        "0",
        "--offset",
        "2",
        "--max-messages",
        "1",
        "--property",
        "print.timestamp=true",
    ];
    let line = done(&broker, "kafka-console-consumer", &timed);
    assert!(line.starts_with("CreateTime:1") && line.ends_with("\tplain\n"), "{line}");
    assert_eq!(broker.tool("kafka-console-consumer", &["--topic", "nope", "--from-beginning"], "").0, Some(1));
}

#[test]
fn offsets_and_records() {
    let (broker, folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    broker.tell(&["produce", "t", "-p", "0"], "1\n2\n3\n");
    assert_eq!(done(&broker, "kafka-get-offsets", &["--topic", "t"]), "t:0:3\nt:1:0\n");
    assert_eq!(done(&broker, "kafka-get-offsets", &["--topic-partitions", "t:0-1", "--time", "-2"]), "t:0:0\n");
    assert_eq!(done(&broker, "kafka-get-offsets", &["--topic", "t", "--time", "1", "--partitions", "0"]), "t:0:0\n");
    let (code, _, err) = broker.tool("kafka-get-offsets", &["--topic", "nope"], "");
    let told = "Error occurred: Could not match any topic-partitions with the specified filters\n";
    assert_eq!((code, err.as_str()), (Some(1), told));

    let file = folder.path().join("offsets.json");
    fs::write(&file, r#"{"partitions":[{"topic":"t","partition":0,"offset":2}],"version":1}"#).unwrap();
    assert_eq!(
        done(&broker, "kafka-delete-records", &["--offset-json-file", file.to_str().unwrap()]),
        "Executing records delete operation\nRecords delete operation completed:\npartition: t-0\tlow_watermark: 2\n"
    );
}

#[test]
fn groups() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    broker.tell(&["produce", "t", "-p", "0"], "1\n2\n3\n");
    let reset = ["--group", "g", "--topic", "t", "--reset-offsets", "--to-offset", "1"];
    let plan = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n\
                g               t               0          1\n\
                g               t               1          0\n";
    let (code, out, err) = broker.tool("kafka-consumer-groups", &reset, "");
    assert_eq!(
        (code, out.as_str(), err.starts_with("WARN: No action will be performed")),
        (Some(0), plan, true),
        "{err}"
    );
    assert_eq!(done(&broker, "kafka-consumer-groups", &["--list"]), "");
    assert_eq!(done(&broker, "kafka-consumer-groups", &[&reset[..], &["--execute"]].concat()), plan);
    assert_eq!(done(&broker, "kafka-consumer-groups", &["--list"]), "g\n");
    assert_eq!(
        done(&broker, "kafka-consumer-groups", &["--list", "--state"]),
        "GROUP                     STATE               \ng                         Empty               \n"
    );
    let (code, out, err) = broker.tool("kafka-consumer-groups", &["--describe", "--group", "g"], "");
    assert_eq!((code, err.as_str()), (Some(0), "\nConsumer group 'g' has no active members.\n"));
    assert_eq!(
        out,
        "
GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
g               t               0          1               3               2               -               -               -
g               t               1          0               0               0               -               -               -
"
    );
    let state = done(&broker, "kafka-consumer-groups", &["--describe", "--group", "g", "--state"]);
    let head = "\nGROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS\n";
    let coordinator = format!("{}  (1)", broker.address);
    assert_eq!(state, format!("{head}g               {coordinator:<25} -                    Empty                0\n"));
    assert_eq!(
        done(&broker, "kafka-consumer-groups", &["--describe", "--group", "g", "--members"]),
        "\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     \n"
    );
    let export = ["--group", "g", "--topic", "t:0", "--reset-offsets", "--shift-by", "1", "--export", "--dry-run"];
    assert_eq!(done(&broker, "kafka-consumer-groups", &export), "t,0,2\n\n");
    assert_eq!(
        done(&broker, "kafka-consumer-groups", &["--delete-offsets", "--group", "g", "--topic", "t:0"]),
        "Request succeeded for deleting offsets from group g.\n\n\
         TOPIC           PARTITION  STATUS         \nt               0          Successful     \n"
    );
    let deleted = done(&broker, "kafka-consumer-groups", &["--delete", "--group", "g"]);
    assert_eq!(deleted, "Deletion of requested consumer groups ('g') was successful.\n");
    let missing = done(&broker, "kafka-consumer-groups", &["--describe", "--group", "g"]);
    assert!(
        missing.starts_with("\nError: Executing consumer group command failed due to org.apache.kafka."),
        "{missing}"
    );
}

#[test]
fn configs() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    let t = ["--entity-type", "topics", "--entity-name", "t"];
    let add = ["--alter", "--add-config", "retention.ms=1000,cleanup.policy=[compact,delete]"];
    assert_eq!(done(&broker, "kafka-configs", &[&t[..], &add].concat()), "Completed updating config for topic t.\n");
    assert_eq!(
        done(&broker, "kafka-configs", &[&t[..], &["--describe"]].concat()),
        "Dynamic configs for topic t are:\n  cleanup.policy=compact,delete sensitive=false \
         synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}\n  \
         retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000}\n"
    );
    done(&broker, "kafka-configs", &["--topic", "t", "--alter", "--delete-config", "cleanup.policy"]);
    assert_eq!(done(&broker, "kafka-configs", &["--topic", "t", "--describe"]).lines().count(), 2);
    assert!(20 < done(&broker, "kafka-configs", &["--topic", "t", "--describe", "--all"]).lines().count());
    assert_eq!(
        done(&broker, "kafka-configs", &["--topic", "nope", "--describe"]),
        "The topic 'nope' doesn't exist and doesn't have dynamic config.\n"
    );
    let (code, _, err) = broker.tool("kafka-configs", &["--topic", "t", "--alter", "--add-config", "nope=1"], "");
    assert_eq!(code, Some(1));
    assert!(
        err.contains("org.apache.kafka.common.errors.InvalidConfigurationException: Unknown topic config name: nope"),
        "{err}"
    );
    let default = ["--entity-type", "brokers", "--entity-default"];
    assert_eq!(
        done(&broker, "kafka-configs", &[&default[..], &["--alter", "--add-config", "log.retention.ms=5000"]].concat()),
        "Completed updating default config for brokers in the cluster.\n"
    );
    assert_eq!(
        done(&broker, "kafka-configs", &["--broker-defaults", "--describe"]),
        "Default configs for brokers in the cluster are:\n  log.retention.ms=5000 sensitive=false \
         synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=5000}\n"
    );
    assert_eq!(done(&broker, "kafka-configs", &["--broker", "1", "--describe"]), "Dynamic configs for broker 1 are:\n");
}

#[test]
fn the_cluster() {
    let (broker, _folder) = Running::alone();
    let server = broker.address.to_string();
    let run = |arguments: &[&str]| {
        let output = crate::process::highwater(&[arguments, &["--bootstrap-server", &server]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        without_ids(&String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["kafka-cluster", "cluster-id"]), "Cluster ID: ID\n");
    let port = broker.address.port();
    assert_eq!(
        run(&["kafka-cluster", "list-endpoints"]),
        format!(
            "ID         HOST      PORT       RACK       STATE      ENDPOINT_TYPE  \n\
             1          127.0.0.1 {port:<10} null       unfenced   broker         \n"
        )
    );
    let versions = done(&broker, "kafka-broker-api-versions", &[]);
    assert!(
        versions.starts_with(&format!("{server} (id: 1 rack: null isFenced: false) -> (\n\tProduce(0): 0 to ")),
        "{versions}"
    );
    assert!(versions.contains("\n\tListPartitionReassignments(46): 0 [usable: 0],\n") && versions.ends_with("\n)\n"));

    let features = done(&broker, "kafka-features", &["describe"]);
    let line = features.lines().find(|line| line.contains("metadata.version")).unwrap();
    assert!(
        line.starts_with("Feature: metadata.version                          SupportedMinVersion: 4.0-IV"),
        "{line}"
    );
    assert!(line.contains("FinalizedVersionLevel: 4.") && line.contains(" Epoch: "), "{line}");
    let upgraded = done(&broker, "kafka-features", &["upgrade", "--feature", "group.version=1"]);
    assert_eq!(upgraded, "group.version was upgraded to 1.\n");

    let status = run(&["kafka-metadata-quorum", "describe", "--status"]);
    assert!(
        status.starts_with("ClusterId:              ID\nLeaderId:               1\nLeaderEpoch:            1\n"),
        "{status}"
    );
    assert!(status.contains("\nCurrentVoters:          [{\"id\": 1, \"directoryId\": \"ID\""), "{status}");
    let replication = run(&["kafka-metadata-quorum", "describe", "--replication"]);
    let lines: Vec<Vec<&str>> = replication.lines().map(|line| line.split('\t').map(str::trim).collect()).collect();
    let head =
        ["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status", ""];
    assert_eq!(lines[0], head);
    assert_eq!((lines[1][0], lines[1][3], lines[1][6]), ("1", "0", "Leader"));
}

#[test]
fn replicas() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Running::cluster(2, folder.path());
    broker.create_on_node_1("t", "1");
    let dirs = done(&broker, "kafka-log-dirs", &["--describe", "--topic-list", "t", "--broker-list", "1"]);
    let mut lines = dirs.lines();
    assert_eq!(lines.next(), Some("Querying brokers for log directories information"));
    assert_eq!(lines.next(), Some("Received log directory information from brokers 1"));
    let json = r#"{"brokers":[{"broker":1,"logDirs":[{"partitions":[{"partition":"t-0","size":0,"offsetLag":0,"isFuture":false}],"error":null,"logDir":""#;
    assert!(lines.next().unwrap().starts_with(json), "{dirs}");
    assert_eq!(broker.tool("kafka-log-dirs", &["--describe", "--broker-list", "9"], "").0, Some(1));

    let election = ["--election-type", "preferred", "--topic", "t", "--partition", "0"];
    assert_eq!(done(&broker, "kafka-leader-election", &election), "Valid replica already elected for partitions t-0\n");
    let election = ["--election-type", "PREFERRED", "--topic", "nope", "--partition", "0"];
    let (code, out, err) = broker.tool("kafka-leader-election", &election, "");
    assert_eq!((code, err.as_str()), (Some(1), "1 replica(s) could not be elected\n"));
    assert!(
        out.starts_with("Error completing leader election (PREFERRED) for partition: nope-0: org.apache.kafka."),
        "{out}"
    );

    let topics = folder.path().join("topics.json");
    fs::write(&topics, r#"{"topics":[{"topic":"t"}],"version":1}"#).unwrap();
    let generate = ["--generate", "--topics-to-move-json-file", topics.to_str().unwrap(), "--broker-list", "2"];
    let generated = done(&broker, "kafka-reassign-partitions", &generate);
    assert!(generated.starts_with("Current partition replica assignment\n{\"version\":1,\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"replicas\":[1],\"log_dirs\":[\"/"), "{generated}");
    let proposed = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2],"log_dirs":["any"]}]}"#;
    assert!(
        generated.ends_with(&format!("\n\nProposed partition reassignment configuration\n{proposed}\n")),
        "{generated}"
    );

    let plan = folder.path().join("plan.json");
    fs::write(&plan, proposed).unwrap();
    let file = ["--reassignment-json-file", plan.to_str().unwrap()];
    let started = done(&broker, "kafka-reassign-partitions", &[&["--execute"], &file[..]].concat());
    let end = "Save this to use as the --reassignment-json-file option during rollback\nSuccessfully started partition \
               reassignment for t-0\n";
    assert!(started.ends_with(end), "{started}");
    let done_text = "Status of partition reassignment:\nReassignment of partition t-0 is completed.\n\n\
                     Clearing broker-level throttles on brokers 1,2\nClearing topic-level throttles on topic t\n";
    let verify = [&["--verify"], &file[..]].concat();
    // Each look takes a round trip; the move of an empty partition takes a few.
    assert!((0..1000).any(|_| done(&broker, "kafka-reassign-partitions", &verify) == done_text));
    assert_eq!(done(&broker, "kafka-reassign-partitions", &["--list"]), "No partition reassignments found.\n");
    let cancelled = done(&broker, "kafka-reassign-partitions", &[&["--cancel"], &file[..]].concat());
    assert_eq!(cancelled, "None of the specified partition reassignments are active.\n");
}
