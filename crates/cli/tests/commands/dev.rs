//! `highwater dev` from start to end.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use crate::process::{Running, highwater};
use highwater_wire::ApiKey;

/// Asks for all topics and returns the bytes of the answer, without its length.
fn metadata(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut request = vec![0, 0, 0, 14];
    request.extend_from_slice(&ApiKey::Metadata.code().to_be_bytes());
    request.extend_from_slice(&1i16.to_be_bytes());
    request.extend_from_slice(&77i32.to_be_bytes());
    request.extend_from_slice(&(-1i16).to_be_bytes());
    request.extend_from_slice(&0i32.to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_node_without_data_directory_serves_and_leaves_nothing_behind() {
    for signal in ["TERM", "INT"] {
        let temporary = tempfile::tempdir().unwrap();
        let node = Running::dev(&[], temporary.path());
        let answer = metadata(node.address);
        assert_eq!(answer[..4], 77i32.to_be_bytes());
        assert_eq!(answer[4..8], 1i32.to_be_bytes(), "one broker");
        assert_eq!(entries(temporary.path()).len(), 1);

        let (code, rest) = node.end(signal);
        assert_eq!((code, rest.as_str()), (Some(0), ""), "SIG{signal}");
        assert_eq!(entries(temporary.path()), [""; 0]);
    }
}

#[test]
fn a_data_directory_is_kept_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let argument = ["--data", data.to_str().unwrap()];
    let node = Running::dev(&argument, folder.path());
    node.end("TERM");
    let identity = fs::read_to_string(data.join("meta.properties")).unwrap();
    assert!(data.join(".kafka_cleanshutdown").exists());

    let node = Running::dev(&argument, folder.path());
    assert_eq!(metadata(node.address)[..4], 77i32.to_be_bytes());
    node.end("TERM");
    assert_eq!(fs::read_to_string(data.join("meta.properties")).unwrap(), identity);
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let argument = ["--data", data.to_str().unwrap()];
    let node = Running::dev(&argument, folder.path());
    let second = highwater(&["dev", "--port", "0", argument[0], argument[1]]);
    assert_eq!(second.status.code(), Some(7));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("error: ") && told.contains("why: ") && told.contains("try: "), "{told}");
    assert_eq!(second.stdout, b"");
    assert_eq!(metadata(node.address)[..4], 77i32.to_be_bytes(), "the first goes on");
}

#[test]
fn a_port_in_use_is_told_with_its_number() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = highwater(&["dev", "--port", &port]);
    assert_eq!(refused.status.code(), Some(7));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains(&port) && told.contains("try: "), "{told}");
}
