//! The `kafka-protocol` crate agrees with us about every API and version that both know.
//!
//! It is fed valid bytes only: it allocates for any count that it reads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::{Bytes, BytesMut};
use highwater_wire::ApiKey;
use highwater_wire::fuzzing::{recode_request, recode_response};
use highwater_wire_gen::{Api, Kind, Message};
use kafka_protocol::messages::{ApiKey as OracleKey, RequestKind, ResponseKind};
use support::{Rng, default_body, random_body, schema};

const BODIES_PER_VERSION: usize = 40;

/// Requests that `kafka-protocol` 0.18 lists but refuses, because Kafka 4.1 had not declared their
/// last version stable.
const NOT_IN_ORACLE: &[(ApiKey, i16)] =
    &[(ApiKey::OffsetCommit, 10), (ApiKey::OffsetFetch, 10), (ApiKey::InitProducerId, 6)];

fn oracle_recode(key: OracleKey, kind: Kind, version: i16, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut input = Bytes::copy_from_slice(body);
    let mut out = BytesMut::new();
    let result = if kind == Kind::Request {
        RequestKind::decode(key, &mut input, version).and_then(|m| m.encode(&mut out, version))
    } else {
        ResponseKind::decode(key, &mut input, version).and_then(|m| m.encode(&mut out, version))
    };
    result.map_err(|error| error.to_string())?;
    if input.is_empty() { Ok(out.to_vec()) } else { Err(format!("{} bytes left", input.len())) }
}

/// Compares one half of an API over all versions; returns how many versions were compared.
fn compare(api: &Api, message: &Message) -> usize {
    let key = ApiKey::from_code(api.key).unwrap();
    let Ok(oracle) = OracleKey::try_from(api.key) else { return 0 };
    let known = oracle.valid_versions();
    let mut compared = 0;
    for version in message.versions.iter().filter(|v| (known.min..=known.max).contains(v)) {
        if message.kind == Kind::Request && NOT_IN_ORACLE.contains(&(key, version)) {
            continue;
        }
        compared += 1;
        let mut rng = Rng::new(api.key as u64 * 100 + version as u64);
        let random = (0..BODIES_PER_VERSION).map(|_| random_body(message, version, &mut rng, true));
        for body in random.chain([default_body(message, version)]) {
            let context = || format!("{} v{version}, body {body:02x?}", message.name);
            let ours = if message.kind == Kind::Request {
                recode_request(key, version, &body)
            } else {
                recode_response(key, version, &body)
            };
            assert_eq!(ours.unwrap().as_ref(), Ok(&body), "{}", context());
            assert_eq!(oracle_recode(oracle, message.kind, version, &body).as_ref(), Ok(&body), "{}", context());
        }
    }
    compared
}

#[test]
fn every_shared_version_has_the_same_bytes() {
    let schema = schema();
    let mut apis = 0;
    let mut versions = 0;
    for api in &schema.apis {
        let Some((request, response)) = &api.messages else { continue };
        let compared = compare(api, request) + compare(api, response);
        apis += usize::from(0 < compared);
        versions += compared;
    }
    println!("{apis} APIs, {versions} layouts");
    assert!(80 <= apis && 500 <= versions, "the oracle knows {apis} APIs and {versions} layouts");
}
