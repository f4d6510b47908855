//! `highwater bench`, and Kafka's tools that measure.

use regex::Regex;

use crate::process::{Running, told};

fn assert_match(pattern: &str, text: &str) {
    assert!(Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text), "{text:?} is not like {pattern}");
}

const PRODUCED: &str = r"300 records sent, \d+\.\d{6} records/sec \(\d+\.\d\d MB/sec\), \d+\.\d\d ms avg latency, \d+\.\d\d ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99\.9th\.\n";
const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n";
const CONSUMED: &str = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}, \d+\.\d{4}, \d+\.\d{4}, (\d+), \d+\.\d{4}, \d+, \d+, \d+\.\d{4}, \d+\.\d{4}\n";

#[test]
fn bench_stores_and_reads_what_it_is_told_to() {
    let (broker, _folder) = Running::alone();
    assert_eq!(broker.ask(&["bench", "produce", "t", "-n", "300"]).0, Some(3));
    broker.ask(&["topic", "create", "t", "-p", "3"]);
    let (code, out, err) = broker.ask(&["bench", "produce", "t", "-n", "300", "-s", "50", "-X", "acks=all"]);
    assert_eq!(code, Some(0), "{err}");
    assert_match(PRODUCED, &out);
    let sizes = broker.ask(&["consume", "t", "--from", "start", "--until", "end", "-f", "%S\n"]).1;
    assert_eq!(sizes, "50\n".repeat(300));
    let (code, out, _) = broker.ask(&["bench", "consume", "t"]);
    assert_eq!(code, Some(0));
    let line = out.strip_prefix(HEADER).unwrap();
    assert_match(CONSUMED, line);
    assert_eq!(line.split(", ").nth(4), Some("300"));
    let limited = broker.ask(&["bench", "consume", "t", "-n", "100"]).1;
    assert_eq!(limited.lines().last().unwrap().split(", ").nth(4), Some("100"));

    let (_, _, told) = broker.ask(&["bench", "produce", "t", "-n", "300", "-s", "50", "--progress", "json"]);
    let last = r#"{"progress":"producing","bytes":15000,"total_bytes":15000}"#;
    assert_eq!(told.lines().last(), Some(last));

    broker.ask(&["topic", "create", "echo", "-p", "1"]);
    let (code, out, err) = broker.ask(&["bench", "e2e", "echo", "-n", "20"]);
    assert_eq!(code, Some(0), "{err}");
    assert_match(r"Avg latency: \d+\.\d{4} ms\nPercentiles: 50th = .* ms, 99\.9th = .* ms, max = .* ms\n", &out);
    assert_eq!(broker.ask(&["topic", "offsets", "echo", "--no-headers"]).1, "echo  0  0  20  20\n");
}

#[test]
fn kafkas_tools_that_measure_print_kafkas_lines() {
    let (broker, folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    let server = format!("bootstrap.servers={}", broker.address);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["kafka-producer-perf-test", "--topic", "t", "--num-records", "300", "--record-size", "10"]);
    command.args(["--throughput", "-1", "--producer-props", &server, "acks=1", "linger.ms=1"]);
    let (code, out, err) = told(&mut command);
    assert_eq!(code, Some(0), "{err}");
    assert_match(PRODUCED, &out);

    let payloads = folder.path().join("payloads");
    std::fs::write(&payloads, "one\ntwo\n").unwrap();
    let arguments = ["--topic", "t", "--num-records", "3", "--throughput", "1000", "--payload-file"];
    let (code, ..) =
        broker.tool("kafka-producer-perf-test", &[&arguments[..], &[payloads.to_str().unwrap()]].concat(), "");
    assert_eq!(code, Some(0));
    assert_eq!(broker.ask(&["consume", "t", "--from", "-3", "-n", "3"]).1, "one\ntwo\none\n");

    let (code, out, _) = broker.tool("kafka-consumer-perf-test", &["--topic", "t", "--num-records", "303"], "");
    assert_eq!(code, Some(0));
    assert_match(CONSUMED, out.strip_prefix(HEADER).unwrap());
    let fewer = ["--topic", "t", "--num-records", "999", "--timeout", "200", "--hide-header"];
    let (code, out, err) = broker.tool("kafka-consumer-perf-test", &fewer, "");
    assert_eq!((code, out.split(", ").nth(4)), (Some(0), Some("303")));
    assert!(err.starts_with("WARNING: Exiting before consuming the expected number of records"), "{err}");
}

#[test]
fn the_verifiable_producer_tells_of_each_record() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "1"]);
    let arguments = ["--topic", "t", "--max-messages", "2", "--value-prefix", "7", "--repeating-keys", "1"];
    let (code, out, err) = broker.tool("kafka-verifiable-producer", &arguments, "");
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<String> =
        out.lines().map(|line| Regex::new(r#"^\{"timestamp":\d+,"#).unwrap().replace(line, "{").into()).collect();
    assert_eq!(lines[0], r#"{"name":"startup_complete"}"#);
    assert_eq!(
        lines[2],
        r#"{"name":"producer_send_success","key":"0","value":"7.1","offset":1,"topic":"t","partition":0}"#
    );
    assert_eq!(lines[3], r#"{"name":"shutdown_complete"}"#);
    assert!(lines[4].starts_with(r#"{"name":"tool_data","sent":2,"acked":2,"target_throughput":-1,"avg_throughput":"#));
}
