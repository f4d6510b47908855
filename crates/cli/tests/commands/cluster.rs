//! `highwater dev --nodes` and `highwater format`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::process::highwater;

#[test]
fn several_nodes_are_processes_that_end_together() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["dev", "--nodes", "3", "--port", "0"]).env("TMPDIR", temporary.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let nodes: Vec<String> = lines.by_ref().take(3).collect();
    let ready = lines.next().unwrap();
    let addresses: Vec<&str> = ready.strip_prefix("ready ").unwrap().split(',').collect();
    assert_eq!(addresses.len(), 3, "{ready}");
    for (node, address) in nodes.iter().zip(&addresses) {
        assert!(node.contains(&format!(" at {address} log ")), "{node}");
        TcpStream::connect(address).unwrap();
    }
    let process = |node: &str| node.split(' ').nth(3).unwrap().to_owned();
    let killed = process(&nodes[0]);
    assert!(Command::new("kill").args(["-9", &killed]).status().unwrap().success());
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let ended = told.find(|line| line.contains("has ended")).unwrap();
    assert!(ended.starts_with("node 1 has ended (signal: 9"), "{ended}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    for node in &nodes {
        let process = format!("/proc/{}", process(node));
        assert!(fs::metadata(&process).is_err(), "{node} is still there");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "its files are gone");
}

#[test]
fn directories_are_formatted_once_and_for_one_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let setting = format!("log.dirs={}", data.display());
    let format = |id: &str| highwater(&["format", "--cluster-id", id, "--set", &setting, "--set", "node.id=7"]);
    let output = format("one");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", data.display()));
    let meta = fs::read_to_string(data.join("meta.properties")).unwrap();
    assert!(meta.contains("cluster.id=one\n") && meta.contains("node.id=7\n"), "{meta}");
    let again = format("one");
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    assert_eq!(fs::read_to_string(data.join("meta.properties")).unwrap(), meta);
    let other = format("two");
    assert_eq!(other.status.code(), Some(7), "{other:?}");
}

#[test]
fn a_new_node_of_a_cluster_has_to_know_which_one() {
    let folder = tempfile::tempdir().unwrap();
    let setting = format!("log.dirs={}", folder.path().join("data").display());
    let voters = "controller.quorum.voters=1@127.0.0.1:1,2@127.0.0.1:2";
    let output = highwater(&["server", "--set", &setting, "--set", "node.id=1", "--set", voters]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("belongs to no cluster"), "{told}");
    assert!(told.contains("highwater format"), "{told}");
}

#[test]
fn a_controller_is_told_who_decides_first() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let format = |more: &[&str]| {
        let settings = [
            format!("log.dirs={}", data.display()),
            "process.roles=controller".to_owned(),
            "listeners=CONTROLLER://127.0.0.1:9093".to_owned(),
            "controller.listener.names=CONTROLLER".to_owned(),
            "controller.quorum.bootstrap.servers=127.0.0.1:9093,127.0.0.1:9094".to_owned(),
        ];
        let mut arguments = vec!["format", "--cluster-id", "one"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        arguments.extend(more);
        let output = highwater(&arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = format(&[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("try: give --standalone, --initial-controllers or --no-initial-controllers"), "{told}");
    assert_eq!(format(&["--standalone", "--no-initial-controllers"]).0, Some(2), "one of them");
    assert_eq!(format(&["-I", "1@127.0.0.1:9093"]).0, Some(2), "without a directory");
    let voters = "1@127.0.0.1:9093:AQEBAQEBAQEBAQEBAQEBAQ,2@127.0.0.1:9094:AgICAgICAgICAgICAgICAg";
    let (code, told) = format(&["--initial-controllers", voters]);
    assert_eq!(code, Some(0), "{told}");
    let meta = fs::read_to_string(data.join("meta.properties")).unwrap();
    assert!(meta.contains("directory.id=AQEBAQEBAQEBAQEBAQEBAQ\n"), "{meta}");
    assert!(data.join("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint").exists());
}
