//! `highwater doctor` and `highwater top`.

use std::net::TcpListener;

use serde_json::Value;

use crate::process::{Running, at_home, told};

#[test]
fn a_healthy_cluster_passes_every_check() {
    let (broker, folder) = Running::alone();
    let (code, out, err) = broker.ask(&["doctor", "--dir", folder.path().to_str().unwrap(), "-o", "jsonl"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |check: &str| {
        let line = lines.iter().find(|line| line["check"].as_str().unwrap().starts_with(check));
        line.unwrap_or_else(|| panic!("no {check} in {out}"))["state"].as_str().unwrap().to_owned()
    };
    for check in ["bootstrap ", "cluster", "broker 1 at ", "health", "clock"] {
        assert_eq!(state(check), "ok", "{check}");
    }
    // What this machine allows, and how fast its disk is, are not known here.
    assert_ne!(state("open files"), "failed");
    assert_ne!(state("sync "), "failed");
}

#[test]
fn an_address_that_nobody_listens_at_is_told_with_what_to_try() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, out, err) = told(at_home(home.path()).args(["doctor", "-b", &address, "--dir", "/nowhere/at/all"]));
    assert_eq!(code, Some(4), "{err}");
    assert!(out.contains(&format!("bootstrap {address}")) && out.contains("start the broker"), "{out}");
    assert!(out.contains("sync /nowhere/at/all") && err.starts_with("error: 2 checks failed"), "{out}{err}");
}

#[test]
fn top_prints_a_frame() {
    let (broker, _folder) = Running::alone();
    broker.ask(&["topic", "create", "t", "-p", "2"]);
    broker.tell(&["produce", "t"], "1\n2\n3\n");
    broker.ask(&["group", "reset", "g", "--topic", "t", "--to-earliest", "--yes"]);
    let (code, out, err) = broker.ask(&["top", "--once"]);
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].last(), Some(&"ok"), "{out}");
    assert!(out.contains("brokers 1 up, 0 fenced  controller 1  partitions"), "{out}");
    assert_eq!(lines[3], ["TOPIC", "RECORDS/S", "RECORDS", "BYTES"], "{out}");
    assert_eq!(lines[4][..3], ["t", "-", "3"], "{out}");
    assert_eq!(lines[7], ["g", "0", "3", "Empty"], "{out}");
    let (code, _, err) = broker.ask(&["top"]);
    assert_eq!((code, err.contains("--once")), (Some(2), true), "{err}");
}
