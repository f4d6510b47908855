//! Bodies that are written from the schema's text decode, and encode to the same bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use highwater_wire::ApiKey;
use highwater_wire::fuzzing::{Recoded, recode_record, recode_request, recode_response};
use highwater_wire_gen::{Kind, Message, Schema};
use support::{Rng, default_body, random_body, schema};

const BODIES_PER_VERSION: u64 = 50;

fn recode(message: &Message, version: i16, body: &[u8]) -> Recoded {
    let key = message.key.and_then(ApiKey::from_code);
    match message.kind {
        Kind::Request => recode_request(key.unwrap(), version, body),
        Kind::Response => recode_response(key.unwrap(), version, body),
        Kind::Record | Kind::Key | Kind::Value | Kind::Data => recode_record(&message.name, version, body),
    }
    .unwrap()
}

fn messages(schema: &Schema) -> impl Iterator<Item = &Message> {
    let bodies = schema.apis.iter().filter_map(|api| api.messages.as_ref()).flat_map(|(a, b)| [a, b]);
    bodies.chain(schema.groups.iter().flat_map(|group| &group.messages))
}

#[test]
fn random_bodies_survive_in_every_version() {
    let schema = schema();
    for (index, message) in messages(&schema).enumerate() {
        for version in message.versions.iter() {
            let seed = (index as u64) << 16 | version as u64;
            let mut rng = Rng::new(seed);
            for _ in 0..BODIES_PER_VERSION {
                let body = random_body(message, version, &mut rng, true);
                assert_eq!(recode(message, version, &body), Ok(body), "{} v{version} seed {seed}", message.name);
            }
        }
    }
}

#[test]
fn versions_outside_the_schema_are_refused() {
    let schema = schema();
    for message in messages(&schema) {
        for version in [message.versions.min - 1, message.versions.max + 1, i16::MAX] {
            let body = default_body(message, message.versions.max);
            let error = recode(message, version, &body).unwrap_err();
            assert_eq!(error.to_string(), format!("{} has no version {version}", message.name));
        }
    }
}

#[test]
fn every_cut_of_a_body_is_an_error() {
    let schema = schema();
    for message in messages(&schema) {
        for version in message.versions.iter() {
            let body = random_body(message, version, &mut Rng::new(7), true);
            for length in 0..body.len() {
                assert!(recode(message, version, &body[..length]).is_err(), "{} v{version} at {length}", message.name);
            }
        }
    }
}

#[test]
fn damaged_bodies_are_refused_or_stay_stable() {
    let schema = schema();
    for message in messages(&schema) {
        for version in message.versions.iter() {
            let mut rng = Rng::new(version as u64);
            for _ in 0..BODIES_PER_VERSION {
                let mut body = random_body(message, version, &mut rng, true);
                if body.is_empty() {
                    continue;
                }
                let at = rng.below(body.len() as u64) as usize;
                body[at] = rng.next() as u8;
                if let Ok(first) = recode(message, version, &body) {
                    assert_eq!(recode(message, version, &first), Ok(first.clone()), "{} v{version}", message.name);
                }
            }
        }
    }
}
