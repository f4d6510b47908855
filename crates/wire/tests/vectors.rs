//! Requests and responses that real clients exchanged with a real Kafka 4.3.0 broker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_wire::frame::{FrameDecoder, FrameStatus, RequestHeader, decode_request_header, decode_response_header};
use highwater_wire::fuzzing::{fuzz_frame, fuzz_request, recode_request, recode_response};
use highwater_wire::{ApiKey, Reader};
use serde_json::Value;

struct Exchange {
    request: Vec<u8>,
    response: Option<Vec<u8>>,
}

fn exchanges() -> Vec<Exchange> {
    let text = include_str!("data/wire.json");
    let list: Vec<Value> = serde_json::from_str(text).unwrap();
    let bytes = |value: &Value| value.as_str().map(unhex);
    list.iter().map(|v| Exchange { request: bytes(&v["request"]).unwrap(), response: bytes(&v["response"]) }).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The body without what follows it: librdkafka ends AlterUserScramCredentials with a byte too many,
/// which Kafka does not look at.
fn request_body<'b>(header: &RequestHeader<'_>, rest: &'b [u8]) -> &'b [u8] {
    let is_librdkafka = header.client_id.as_deref() == Some("rdkafka");
    if header.api_key == ApiKey::AlterUserScramCredentials.code() && is_librdkafka {
        rest.strip_suffix(&[0]).unwrap()
    } else {
        rest
    }
}

/// Whether the broker understood the version. It answered the others, all of them ApiVersions, in
/// version 0.
fn was_spoken(key: ApiKey, version: i16) -> bool {
    key != ApiKey::ApiVersions || version <= 4
}

#[test]
fn every_exchange_decodes_and_encodes_to_the_same_bytes() {
    let mut answered = 0;
    for exchange in exchanges() {
        let Some(response) = &exchange.response else { continue };
        answered += 1;
        let mut r = Reader::new(&exchange.request);
        let header = decode_request_header(&mut r).unwrap();
        let key = ApiKey::from_code(header.api_key).unwrap();
        let supported = was_spoken(key, header.api_version);
        if supported {
            let body = request_body(&header, r.rest());
            assert_eq!(recode_request(key, header.api_version, body).unwrap().as_deref(), Ok(body), "{header:?}");
        }
        let version = if supported { header.api_version } else { 0 };
        let mut r = Reader::new(response);
        assert_eq!(decode_response_header(&mut r, key, version), Ok(header.correlation_id));
        let body = r.rest();
        assert_eq!(recode_response(key, version, body).unwrap().as_deref(), Ok(body), "answer to {header:?}");
    }
    assert_eq!(answered, 202);
}

/// The broker closed the connection on these; whatever we make of them, it is not a panic.
#[test]
fn requests_that_were_not_answered_do_no_harm() {
    for exchange in exchanges().iter().filter(|e| e.response.is_none()) {
        let mut frame = (exchange.request.len() as u32).to_be_bytes().to_vec();
        frame.extend(&exchange.request);
        assert_eq!(FrameDecoder::new(1 << 20).decode(&frame), Ok(FrameStatus::Frame(exchange.request.len())));
        fuzz_frame(&frame);
    }
}

#[test]
fn every_cut_of_an_exchange_is_an_error() {
    for exchange in exchanges() {
        let mut r = Reader::new(&exchange.request);
        let header = decode_request_header(&mut r).unwrap();
        let start = r.position();
        for length in 0..start {
            assert!(decode_request_header(&mut Reader::new(&exchange.request[..length])).is_err());
        }
        let Some(response) = &exchange.response else { continue };
        let key = ApiKey::from_code(header.api_key).unwrap();
        if !was_spoken(key, header.api_version) {
            continue;
        }
        let body = request_body(&header, r.rest());
        for length in 0..body.len() {
            assert!(
                recode_request(key, header.api_version, &body[..length]).unwrap().is_err(),
                "{header:?} cut at {length}"
            );
        }
        let mut r = Reader::new(response);
        decode_response_header(&mut r, key, header.api_version).unwrap();
        let start = r.position();
        for length in start..response.len() {
            let body = &response[start..length];
            assert!(recode_response(key, header.api_version, body).unwrap().is_err(), "{header:?} cut at {length}");
        }
    }
}

/// Every byte of every request set to values that lengths and counts like to be attacked with.
#[test]
fn damaged_requests_are_refused_or_stay_stable() {
    for exchange in exchanges() {
        let mut frame = (exchange.request.len() as u32).to_be_bytes().to_vec();
        frame.extend(&exchange.request);
        for at in 4..frame.len().min(400) {
            let before = frame[at];
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                frame[at] = value;
                fuzz_frame(&frame);
            }
            frame[at] = before;
        }
    }
}

/// Four bytes made another implementation allocate 114 GB.
#[test]
fn huge_counts_cost_nothing() {
    for key in ApiKey::ALL {
        let Some(versions) = key.versions() else { continue };
        for version in versions.iter() {
            for count in [[0x7f, 0xff, 0xff, 0xff, 0x07], [0xff; 5], [0xff, 0xff, 0xff, 0xff, 0x0f]] {
                for zeros in 0..24 {
                    let mut bytes = vec![key.code() as u8, version as u8];
                    bytes.resize(2 + zeros, 0);
                    bytes.extend(count);
                    fuzz_request(&bytes);
                    bytes[1] |= 0x80;
                    fuzz_request(&bytes);
                }
            }
        }
    }
}
