//! Bodies of the fuzz targets. Not a stable interface.

use crate::group::codec;

/// Takes `bytes` as a record of `__consumer_offsets`: the length of the key, whether there is a value, key and value.
///
/// What is accepted must encode, and what that gives must decode to the same.
pub fn fuzz_group_record(bytes: &[u8]) {
    let [key_length, has_value, rest @ ..] = bytes else { return };
    let (key, value) = rest.split_at(usize::from(*key_length).min(rest.len()));
    let Ok(Some(record)) = codec::decode(key, (*has_value != 0).then_some(value)) else { return };
    let (key, value, has_value) = encode(&record);
    assert_eq!(has_value, !record.is_tombstone());
    let again = codec::decode(&key, has_value.then_some(&*value)).expect("what was encoded decodes");
    assert_eq!(again, Some(record.clone()), "decoding gives back what was encoded");
    assert_eq!(again.map(|record| encode(&record)), Some((key, value, has_value)), "encoding is stable");
}

fn encode(record: &highwater_group::GroupRecord) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_value = codec::encode(record, &mut key, &mut value).expect("what was decoded can be encoded");
    (key, value, has_value)
}
