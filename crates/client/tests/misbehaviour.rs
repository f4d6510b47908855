//! Brokers that are not there, close, say nothing, talk nonsense or lie: every call ends with an error that says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use highwater_client::{
    Client, ClientConfig, ClientError, Event, OffsetReset, PartitionIndex, ProducerRecord, ProtocolFault, SendError,
    TopicName, TopicPartition,
};
use highwater_wire::ApiKey;
use highwater_wire::frame::{decode_request_header, encode_response};
use highwater_wire::messages::ApiVersionsResponse;
use highwater_wire::messages::api_versions_response::ApiVersion;

/// A server whose connections are all treated like this. It goes with the process.
fn server(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(stream));
        }
    });
    address
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// Says what it speaks, as a broker does, and answers everything else with what `answer` makes of the correlation id.
fn half_a_broker(answer: impl Fn(i32) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    server(move |mut stream| {
        while let Some(frame) = read_frame(&mut stream) {
            let header = decode_request_header(&mut highwater_wire::Reader::new(&frame)).unwrap();
            let reply = if header.api_key == ApiKey::ApiVersions.code() {
                let known = |api: &ApiKey| {
                    let range = api.stable_versions()?;
                    let (min_version, max_version) = (range.min, range.max);
                    Some(ApiVersion { api_key: api.code(), min_version, max_version, ..Default::default() })
                };
                let api_keys = ApiKey::ALL.iter().filter_map(known).collect();
                let body = ApiVersionsResponse { api_keys, ..Default::default() };
                let mut out = Vec::new();
                let (version, id) = (header.api_version, header.correlation_id);
                encode_response(&mut out, ApiKey::ApiVersions, version, id, &body).unwrap();
                Some(out)
            } else {
                answer(header.correlation_id)
            };
            match reply {
                Some(reply) if stream.write_all(&reply).is_ok() => {}
                Some(_) => return,
                // Never answered, but held open.
                None => {}
            }
        }
    })
}

fn client(address: &str) -> Client {
    let config = ClientConfig {
        bootstrap_servers: vec![address.to_owned()],
        request_timeout: Duration::from_millis(200),
        default_api_timeout: Duration::from_millis(600),
        connection_setup_timeout: Duration::from_millis(200),
        ..ClientConfig::default()
    };
    Client::with_config(config).unwrap()
}

/// What a call says, without what it adds for running out of time.
fn error_of(address: &str) -> ClientError {
    match client(address).admin().list_topics().wait().unwrap_err() {
        ClientError::Timeout { last: Some(last), .. } => *last,
        other => other,
    }
}

/// Producers and consumers end as well, whatever it is that keeps them from their work.
fn others_end(address: SocketAddr) {
    let client = client(&address.to_string());
    let topic = TopicName::new("orders").unwrap();
    let producer = client.producer::<String, String>().config("max.block.ms", "300").build().unwrap();
    let sent = producer.send(ProducerRecord::new(topic.clone(), "one".to_owned())).wait();
    assert!(matches!(sent, Err(SendError::TimedOut { .. })), "{sent:?}");
    producer.close(Duration::ZERO).wait().unwrap();
    let partition = TopicPartition { topic, partition: PartitionIndex::ZERO };
    let consumer = client.reader().partitions([partition]).start_at(OffsetReset::Earliest).build().unwrap();
    match consumer.next().wait_for(Duration::from_millis(300)) {
        Ok(None | Some(Event::Error(_))) => {}
        other => panic!("{other:?}"),
    }
    consumer.close(Duration::ZERO).wait().unwrap();
    client.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = error_of(&address.to_string());
    assert!(matches!(error, ClientError::Connect { .. }) && error.is_unreachable(), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    others_end(address);
}

#[test]
fn a_name_that_is_not_known() {
    let error = error_of("no-such-host.invalid:9092");
    // A resolver that does not answer at all is as good.
    assert!(error.is_unreachable(), "{error}");
}

#[test]
fn every_connection_is_closed() {
    let address = server(drop);
    let error = error_of(&address.to_string());
    assert!(error.is_unreachable(), "{error}");
    others_end(address);
}

#[test]
fn nothing_is_ever_answered() {
    let address = server(|mut stream| while read_frame(&mut stream).is_some() {});
    let error = error_of(&address.to_string());
    assert!(error.is_unreachable(), "{error}");
    others_end(address);
}

#[test]
fn it_knows_its_versions_and_nothing_else() {
    let address = half_a_broker(|_| None);
    let error = error_of(&address.to_string());
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("Metadata"), "{error}");
    others_end(address);
}

#[test]
fn it_closes_instead_of_answering() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = server(move |mut stream| {
        if read_frame(&mut stream).is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let error = error_of(&address.to_string());
    assert!(error.is_unreachable(), "{error}");
    let attempts = asked.load(Ordering::SeqCst);
    assert!((2..60).contains(&attempts), "{attempts} attempts: again and again, but not as fast as it can");
}

#[test]
fn it_is_no_kafka_broker() {
    let address = server(|mut stream| {
        if read_frame(&mut stream).is_some() {
            // What comes after does not matter.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            thread::sleep(Duration::from_secs(5));
        }
    });
    let error = error_of(&address.to_string());
    let is_named = matches!(&error, ClientError::Protocol { reason: ProtocolFault::Frame(_), .. });
    assert!(is_named, "{error}");
    others_end(address);
}

#[test]
fn it_lies_about_sizes() {
    for size in [i32::MAX, -1, 100 << 20] {
        let address = half_a_broker(move |_| Some(size.to_be_bytes().to_vec()));
        let error = error_of(&address.to_string());
        // A size that could be is waited for.
        let is_fine = matches!(error, ClientError::Protocol { .. }) || error.is_unreachable();
        assert!(is_fine, "{error}");
        others_end(address);
    }
}

#[test]
fn it_answers_another_request() {
    let address = half_a_broker(|id| Some([8_i32.to_be_bytes(), (id + 1).to_be_bytes(), [0; 4]].concat()));
    let error = error_of(&address.to_string());
    let is_named = matches!(&error, ClientError::Protocol { reason: ProtocolFault::Correlation { .. }, .. });
    assert!(is_named, "{error}");
    others_end(address);
}

#[test]
fn its_answers_contradict_themselves() {
    for garbage in [&[][..], &[0xff; 40], &[0x7f; 40], &[0; 3]] {
        let address = half_a_broker(move |id| {
            let size = i32::try_from(5 + garbage.len()).unwrap();
            Some([&size.to_be_bytes()[..], &id.to_be_bytes(), &[0], garbage].concat())
        });
        let error = error_of(&address.to_string());
        let is_named = matches!(&error, ClientError::Protocol { reason: ProtocolFault::Decode { .. }, .. });
        assert!(is_named, "{error}");
        others_end(address);
    }
}

#[test]
fn one_of_several_is_enough() {
    let broken = server(drop);
    let silent = half_a_broker(|_| None);
    let config = ClientConfig {
        bootstrap_servers: vec![broken.to_string(), "no-such-host.invalid:1".to_owned(), silent.to_string()],
        connection_setup_timeout: Duration::from_millis(200),
        ..ClientConfig::default()
    };
    let client = Client::with_config(config).unwrap();
    assert!(!client.admin().api_versions(None).wait().unwrap().is_empty());
}
