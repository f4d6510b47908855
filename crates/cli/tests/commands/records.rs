//! `highwater produce` and `highwater consume`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::Running;

#[test]
fn what_is_produced_is_consumed() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    assert_eq!(broker.tell(&["produce", "t"], "one\ntwo\nthree"), (Some(0), String::new(), String::new()));
    let all = ["consume", "t", "--from", "start", "--until", "end"];
    assert_eq!(broker.ask(&all), (Some(0), "one\ntwo\nthree\n".into(), String::new()));
    assert_eq!(broker.ask(&["consume", "t", "--from", "-2", "-n", "1"]).1, "two\n");
    assert_eq!(broker.ask(&["consume", "t", "--from", "1", "--until", "2"]).1, "two\n");
    assert_eq!(broker.ask(&["consume", "t", "--from", "end", "--until", "end"]).1, "");
    assert_eq!(broker.ask(&["consume", "t", "--from", "@-1h", "--until", "end", "--grep", "^t"]).1, "two\nthree\n");

    let sent = ["produce", "t", "-k", "key", "-v", "value", "-H", "h=x", "--report", "--no-headers"];
    assert_eq!(broker.ask(&sent).1, "t  0  3\n");
    let (code, out, _) = broker.ask(&["consume", "t", "--from", "-1", "-n", "1", "-o", "json"]);
    let mut line: Value = serde_json::from_str(&out).unwrap();
    assert!(1_700_000_000_000 < line["ts"].as_i64().unwrap());
    line["ts"] = Value::Null;
    assert_eq!(code, Some(0));
    assert_eq!(
        line,
        json!({"topic": "t", "partition": 0, "offset": 3, "tstype": "create", "ts": null, "broker": 1,
               "headers": ["h", "x"], "key": "key", "payload": "value"})
    );
    let formatted = ["consume", "t", "--from", "-1", "-n", "1", "-f", r"%t-%p@%o %k=%s %h\n"];
    assert_eq!(broker.ask(&formatted).1, "t-0@3 key=value h=x\n");
    let formatted = ["consume", "t", "--from", "-1", "-n", "1", "-f", r"{topic} {key}={value:json}\n"];
    assert_eq!(broker.ask(&formatted).1, "t key=\"value\"\n");
}

#[test]
fn records_come_in_lines_of_several_shapes() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    assert_eq!(broker.tell(&["produce", "t", "-p", "1", "--delim", ":", "-Z", "-z", "zstd"], "a:1\nb:\n").0, Some(0));
    let object = r#"{"key":"c","value":{"n":1},"headers":{"h":"x"},"partition":0,"ts":1700000000000}"#;
    assert_eq!(broker.tell(&["produce", "t", "--jsonl"], object).0, Some(0));
    let read = |partition: &str| {
        let format = "{partition} {key}={value:string} {headers}\\n";
        broker.ask(&["consume", "t", "-p", partition, "--from", "start", "--until", "end", "-f", format]).1
    };
    assert_eq!(read("1"), "1 a=\"1\" \n1 b=null \n");
    assert_eq!(read("0"), "0 c=\"{\\\"n\\\":1}\" h=x\n");
    let both = broker.ask(&["consume", "t", "--from", "start", "--until", "end", "-f", "%p"]).1;
    let mut both: Vec<char> = both.chars().collect();
    both.sort_unstable();
    assert_eq!(both, ['0', '1', '1']);
    let wide = ["consume", "t", "-p", "0", "--from", "start", "-n", "1", "-o", "wide"];
    assert_eq!(broker.ask(&wide).1, "2023-11-14T22:13:20.000Z t[0]@0 c {\"n\":1}\n");

    let (code, _, err) = broker.tell(&["produce", "t", "--jsonl"], "{}\nx\n");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: line 2 is no record\n"), "{err}");
}

#[test]
fn what_cannot_be_done_is_told() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1", "-c", "max.message.bytes=1000"]);
    assert_eq!(broker.ask(&["consume", "nope", "--from", "start", "--until", "end"]).0, Some(3));
    assert_eq!(broker.ask(&["consume", "t", "-p", "3"]).0, Some(3));
    assert_eq!(broker.ask(&["consume", "t", "--from", "sometime"]).0, Some(2));
    assert_eq!(broker.ask(&["consume", "t", "-f", "{nope}"]).0, Some(2));
    let (code, _, err) = broker.tell(&["produce", "t"], &"x".repeat(5000));
    assert_eq!(code, Some(1));
    assert!(err.contains("MESSAGE_TOO_LARGE") && err.contains("  try: Send less"), "{err}");
    assert_eq!(broker.ask(&["produce", "t", "-v", "x", "-X", "linger.ms=x"]).0, Some(2));
    assert_eq!(broker.tell(&["produce", "t", "--from", "/nowhere"], "").0, Some(3));
}

#[test]
fn a_consumer_waits_for_more_and_follows_several_partitions() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "3"]);
    let child = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["-b", &broker.address.to_string(), "consume", "t", "--from", "start", "-n", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(broker.tell(&["produce", "t", "-p", "2"], "late\nlater\n").0, Some(0));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"late\nlater\n".to_vec()));
}

#[test]
fn members_of_a_group_go_on_where_it_is() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    broker.tell(&["produce", "t"], "1\n2\n3\n4\n5\n");
    let read = ["consume", "t", "-g", "g", "--from", "start", "-n", "2"];
    assert_eq!(broker.ask(&read), (Some(0), "1\n2\n".into(), String::new()));
    assert_eq!(broker.ask(&["group", "lag", "g", "-o", "csv", "--no-headers"]).1, "g,t,0,2,5,3,,,\n");
    assert_eq!(broker.ask(&read).1, "3\n4\n");
    assert_eq!(broker.ask(&["consume", "t", "-g", "g", "--from", "-3"]).0, Some(2));
    assert_eq!(broker.ask(&["consume", "t", "-g", "g", "--until", "end"]).0, Some(2));

    let console = ["--topic", "t", "--group", "other", "--from-beginning", "--max-messages", "4"];
    assert_eq!(broker.tool("kafka-console-consumer", &console, "").1, "1\n2\n3\n4\n");
    assert_eq!(broker.tool("kafka-console-consumer", &[&console[..4], &["--max-messages", "1"]].concat(), "").1, "5\n");
}

#[test]
fn the_verifiable_consumer_tells_of_what_it_reads_and_commits() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    broker.tell(&["produce", "t"], "a\nb\nc\n");
    let arguments = ["--topic", "t", "--group-id", "g", "--max-messages", "3", "--verbose"];
    let (code, out, err) = broker.tool("kafka-verifiable-consumer", &arguments, "");
    assert_eq!(code, Some(0), "{err}");
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
    assert_eq!(events[0]["name"], "startup_complete");
    assert_eq!(of("partitions_assigned")[0]["partitions"], json!([{"topic": "t", "partition": 0}]));
    let count: i64 = of("records_consumed").iter().map(|event| event["count"].as_i64().unwrap()).sum();
    assert_eq!(count, 3);
    let values: Vec<_> = of("record_data").iter().map(|event| event["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values, ["a", "b", "c"]);
    let committed = of("offsets_committed");
    let last = committed.last().unwrap();
    assert_eq!((&last["success"], &last["offsets"][0]["offset"]), (&true.into(), &3.into()));
    assert_eq!(events.last().unwrap()["name"], "shutdown_complete");
}
