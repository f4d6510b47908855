//! Requests that no answer exists for: the connection ends, without a byte, and nobody else notices.

use highwater_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::common::TestBroker;

/// A frame: size, key, version, correlation id, null client id, body.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(10 + body.len()).unwrap();
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&7i32.to_be_bytes());
    bytes.extend_from_slice(&(-1i16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn what_cannot_be_answered_ends_the_connection() {
    let broker = TestBroker::start();
    let mut witness = broker.client();
    let huge_count = [0x7f, 0xff, 0xff, 0xff];
    let cases: &[(&str, Vec<u8>)] = &[
        ("an unknown key", frame(1234, 0, &[])),
        ("a negative key", frame(-1, 0, &[])),
        ("a removed key", frame(4, 0, &[])),
        ("Metadata 99", frame(3, 99, &[])),
        ("Metadata -1", frame(3, -1, &[])),
        ("Produce 2", frame(0, 2, &[])),
        ("Fetch 3", frame(1, 3, &[])),
        ("ListOffsets 0", frame(2, 0, &[])),
        ("OffsetCommit 0", frame(8, 0, &[])),
        ("DeleteTopics 0", frame(20, 0, &[])),
        ("Vote on a listener for clients", frame(52, 0, &[])),
        ("a body that claims two thousand million topics", frame(3, 1, &huge_count)),
        ("a body that is cut", frame(3, 1, &[0, 0, 0, 1, 0, 9, b'x'])),
        ("a produce body of garbage", frame(0, 7, &[0xff; 40])),
        ("a fetch body of garbage", frame(1, 12, &[0xff; 40])),
        ("a header that is cut", vec![0, 0, 0, 3, 0, 3, 0]),
        ("an empty frame", vec![0, 0, 0, 0]),
        ("a negative size", vec![0xff; 4]),
        ("a size of 200 MB", 200_000_000i32.to_be_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut client = broker.client();
        client.send_raw(bytes);
        assert_eq!(client.until_closed(), b"", "{what}");
        let answer = witness.call(0, &ApiVersionsRequest::default());
        let response: ApiVersionsResponse<'_> = answer.body();
        assert_eq!(response.error_code, 0, "another client after {what}");
    }
    let stats = broker.broker().stats();
    assert!(stats.unsupported_requests >= 10, "{stats:?}");
    assert!(stats.malformed_requests >= 4, "{stats:?}");
}

#[test]
fn answers_before_the_bad_request_arrive() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let (mut bytes, good) = client.encode(0, &ApiVersionsRequest::default());
    bytes.extend_from_slice(&frame(3, 99, &[]));
    client.send_raw(&bytes);
    let answer = client.receive(good);
    assert_eq!(answer.body::<ApiVersionsResponse<'_>>().error_code, 0);
    assert_eq!(client.until_closed(), b"");
}

#[test]
fn a_null_client_id_and_an_empty_one_are_fine() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.send_raw(&frame(18, 0, &[]));
    let answer = client.receive((highwater_wire::ApiKey::ApiVersions, 0, 7));
    assert_eq!(answer.body::<ApiVersionsResponse<'_>>().error_code, 0);
}

#[test]
fn a_request_that_names_too_much_ends_the_connection() {
    use highwater_wire::messages::DeleteTopicsRequest;
    let broker = TestBroker::start();
    let names: Vec<std::borrow::Cow<'_, str>> = (0..10_001).map(|n| format!("t{n}").into()).collect();
    let mut client = broker.client();
    client.send(5, &DeleteTopicsRequest { topic_names: names.into(), ..DeleteTopicsRequest::default() });
    assert_eq!(client.until_closed(), b"");
}
