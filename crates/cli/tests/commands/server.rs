//! `highwater server` and its environment.

use std::fs;
use std::process::Command;

use crate::process::Running;

#[test]
fn the_environment_names_the_cluster_of_new_directories() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ours = "4L6g3nShT-eMCtK--X86sw";
    let server = |cluster: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["server", "--set", "listeners=PLAINTEXT://127.0.0.1:0"]);
        command.arg("--set").arg(format!("log.dirs={}", data.display())).env("CLUSTER_ID", cluster);
        command
    };
    Running::start(&mut server(ours)).end("TERM");
    let meta = fs::read_to_string(data.join("meta.properties")).unwrap();
    assert!(meta.contains(&format!("cluster.id={ours}\n")), "{meta}");

    let output = server("5L6g3nShT-eMCtK--X86sw").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(told.contains(ours) && told.contains("5L6g3nShT") && told.contains("try: unset CLUSTER_ID"), "{told}");
}
