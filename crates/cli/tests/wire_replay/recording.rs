//! The recorded exchanges.

use std::fs;
use std::path::Path;

use highwater_wire::frame::{RequestHeader, decode_request_header};
use highwater_wire::{ApiKey, Reader};
use serde_json::Value;

/// One request and what Kafka answered; no answer when it closed the connection.
pub(crate) struct Exchange {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    /// Header and body, without the size.
    pub(crate) request: Vec<u8>,
    pub(crate) response: Option<Vec<u8>>,
}

impl Exchange {
    /// The request's header, and the bytes of its body.
    pub(crate) fn header(&self) -> (RequestHeader<'_>, &[u8]) {
        let mut r = Reader::new(&self.request);
        let header = decode_request_header(&mut r).expect("recorded headers are well-formed");
        (header, r.rest())
    }

    /// Whether this request came on the same connection as `before`: a client counts its requests.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        let (this, before) = (self.header().0, before.header().0);
        this.client_id == before.client_id && before.correlation_id < this.correlation_id
    }
}

/// Reads `wire.json` from the wire crate's test data or from beside the checkout.
pub(crate) fn load() -> Option<Vec<Exchange>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../wire/tests/data/wire.json", "../../../shared/vectors/wire.json"];
    let text = places.iter().find_map(|place| fs::read_to_string(here.join(place)).ok())?;
    let list: Vec<Value> = serde_json::from_str(&text).expect("wire.json is a list");
    Some(list.iter().map(exchange).collect())
}

fn exchange(entry: &Value) -> Exchange {
    let number =
        |name: &str| entry[name].as_i64().and_then(|number| i16::try_from(number).ok()).expect("keys and versions fit");
    Exchange {
        key: ApiKey::from_code(number("api_key")).expect("only known keys were recorded"),
        version: number("api_version"),
        request: unhex(entry["request"].as_str().expect("every exchange has a request")),
        response: entry["response"].as_str().map(unhex),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("hexadecimal") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
