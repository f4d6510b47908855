//! `highwater topic` and `highwater config`.

use crate::process::{Running, at_home, told};

/// Runs a command that has to succeed without a word on standard error.
fn done(broker: &Running, arguments: &[&str]) -> String {
    let (code, out, err) = broker.ask(arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    out
}

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let (broker, _folder) = Running::alone();
    assert_eq!(done(&broker, &["topic", "ls", "-o", "json"]), "[]\n");
    assert_eq!(
        done(&broker, &["topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=1000", "--dry-run"]),
        "TOPIC  RESULT  ERROR\na      valid   -\nb      valid   -\n"
    );
    assert_eq!(done(&broker, &["topic", "ls", "--no-headers"]), "");
    done(&broker, &["topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=1000"]);
    assert_eq!(done(&broker, &["topic", "ls"]), "NAME  PARTITIONS\na              2\nb              2\n");
    assert_eq!(done(&broker, &["topic", "ls", "[b-z]", "-o", "name"]), "b\n");

    assert_eq!(
        done(&broker, &["topic", "describe", "a"]),
        "\
TOPIC  PARTITION  LEADER  REPLICAS  ISR  STATE
a              0       1  1         1    ok
a              1       1  1         1    ok
"
    );
    assert_eq!(done(&broker, &["topic", "describe", "a", "--unwell", "--no-headers"]), "");

    let (code, out, err) = broker.ask(&["topic", "create", "a"]);
    assert_eq!((code, out.as_str()), (Some(7), ""));
    assert!(
        err.starts_with("error: cannot create topic a\n  why: ") && err.contains("(TOPIC_ALREADY_EXISTS)"),
        "{err}"
    );
    assert_eq!(broker.ask(&["topic", "create", "a", "--if-not-exists"]).0, Some(0));
    let (code, out, err) = broker.ask(&["topic", "create", "a", "c", "--no-headers"]);
    assert_eq!(code, Some(6), "{err}");
    assert!(out.starts_with("a  failed   Topic 'a' already exists") && out.ends_with("c  created  -\n"), "{out}");
    assert_eq!(broker.ask(&["topic", "describe", "nope"]).0, Some(3));

    // Neither asked nor told to: nothing happens, and that is said.
    let (code, out, err) = broker.ask(&["topic", "delete", "a"]);
    assert_eq!((code, out.as_str()), (Some(2), "TOPIC  PARTITIONS  ACTION\na               2  delete\n"));
    assert!(err.contains("error: nothing was changed\n") && err.contains("--yes"), "{err}");
    assert_eq!(broker.ask(&["topic", "delete", "a", "--dry-run"]).0, Some(0));
    assert_eq!(done(&broker, &["topic", "ls", "-o", "name"]), "a\nb\nc\n");
    let (code, _, err) = broker.ask(&["topic", "delete", "--regex", "[ab]", "--yes"]);
    assert_eq!((code, err.as_str()), (Some(0), "2 topics match [ab]\n"));
    assert_eq!(done(&broker, &["topic", "ls", "-o", "name"]), "c\n");
    assert_eq!(broker.ask(&["topic", "delete", "a", "--yes"]).0, Some(3));
    assert_eq!(broker.ask(&["topic", "delete", "a", "--yes", "--if-exists"]).0, Some(0));
    assert_eq!(broker.ask(&["topic", "delete", "--regex", "z.*", "--yes"]).0, Some(3));
}

#[test]
fn configs_and_partitions_are_changed() {
    let (broker, _folder) = Running::alone();
    done(&broker, &["topic", "create", "t", "-p", "1"]);
    assert_eq!(broker.ask(&["topic", "alter", "t", "-c", "retention.ms=x"]).0, Some(1));
    done(&broker, &["topic", "alter", "t", "-c", "retention.ms=5000", "--dry-run"]);
    assert_eq!(done(&broker, &["topic", "config", "t", "--no-headers"]), "");
    done(&broker, &["topic", "alter", "t", "-c", "retention.ms=5000", "-c", "cleanup.policy=compact"]);
    assert_eq!(
        done(&broker, &["topic", "config", "t"]),
        "\
NAME            VALUE    SOURCE
cleanup.policy  compact  DYNAMIC_TOPIC_CONFIG
retention.ms    5000     DYNAMIC_TOPIC_CONFIG
"
    );
    done(&broker, &["config", "alter", "topic", "t", "-u", "cleanup.policy"]);
    let shown = done(&broker, &["config", "describe", "topic", "t", "--no-headers"]);
    assert_eq!(shown, "retention.ms  5000  DYNAMIC_TOPIC_CONFIG\n");
    assert!(20 < done(&broker, &["topic", "config", "t", "--all"]).lines().count());

    done(&broker, &["topic", "add-partitions", "t", "--total", "3"]);
    assert_eq!(broker.ask(&["topic", "add-partitions", "t", "--total", "2"]).0, Some(1));
    assert_eq!(done(&broker, &["topic", "ls", "--no-headers"]), "t  3\n");
}

#[test]
fn offsets_are_shown_and_records_deleted_from_the_front() {
    let (broker, _folder) = Running::alone();
    done(&broker, &["topic", "create", "t", "-p", "2"]);
    let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
    assert_eq!(broker.tell(&["produce", "t", "-p", "1"], &lines).0, Some(0));
    assert_eq!(
        done(&broker, &["topic", "offsets", "t"]),
        "\
TOPIC  PARTITION  BEGIN  END  RECORDS
t              0      0    0        0
t              1      0   10       10
"
    );
    let (code, out, _) = broker.ask(&["topic", "trim", "t", "-p", "1", "--before", "4"]);
    assert_eq!((code, out.lines().last()), (Some(2), Some("t              1      0          4        4")));
    done(&broker, &["topic", "trim", "t", "-p", "1", "--before", "4", "--yes"]);
    assert_eq!(done(&broker, &["topic", "offsets", "t", "--no-headers"]), "t  0  0   0  0\nt  1  4  10  6\n");
    done(&broker, &["topic", "trim", "t", "--before", "@-1h", "--yes"]);
    assert!(done(&broker, &["topic", "offsets", "t", "-o", "csv"]).ends_with("t,0,0,0,0\nt,1,4,10,6\n"));
    done(&broker, &["topic", "trim", "t", "--before", "end", "--yes"]);
    assert!(done(&broker, &["topic", "offsets", "t", "-o", "csv"]).ends_with("t,1,10,10,0\n"));
    assert_eq!(broker.ask(&["topic", "trim", "t", "-p", "7", "--before", "end", "--yes"]).0, Some(3));
    let found = done(&broker, &["topic", "offsets", "t", "--at", "-1h", "-o", "jsonl"]);
    assert!(found.starts_with(r#"{"topic":"t","partition":0,"offset":null,"timestamp":null}"#), "{found}");
}

#[test]
fn nobody_there_is_code_4_at_once() {
    let home = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, out, err) = told(at_home(home.path()).args(["topic", "ls", "-b", &address]));
    assert_eq!((code, out.as_str()), (Some(4), ""));
    assert!(err.starts_with(&format!("error: cannot reach {address}\n  why: ")) && err.contains("  try: "), "{err}");
}
