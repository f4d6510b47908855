//! Record sets as JSON, for `highwater log dump` and for tests.
//!
//! Field names and shapes are those of the project's test vectors. Keys and values are hexadecimal. Where
//! something cannot be read, a field whose name ends in `_error` says why, and reading goes on as far as the
//! bytes allow.

use serde_json::{Map, Value, json};

use crate::batch::BatchView;
use crate::crc::crc32c;
use crate::legacy::LegacyMessage;
use crate::{Codec, ControlType, DecompressLimit, Entry, EntryHead, RecordError, RecordView, TimestampType};

/// Describes a whole record set: its size, its entries with their records, and where it breaks off.
///
/// Records are decompressed up to the default [`DecompressLimit`] an entry. Everything is held in memory; for
/// files use [`describe_entry`].
#[must_use]
pub fn describe(bytes: &[u8]) -> Value {
    let mut entries = Vec::new();
    let mut position = 0;
    let error = loop {
        match next_entry(bytes, position) {
            Ok(None) => break None,
            Ok(Some(entry)) => {
                entries.push(describe_entry(position as u64, entry));
                position += entry.len();
            }
            Err(error) => break Some(error),
        }
    };
    let mut set = Map::new();
    set.insert("bytes".into(), bytes.len().into());
    if let Some(error) = error {
        set.insert("iteration_error".into(), error.to_string().into());
    }
    set.insert("valid_bytes".into(), position.into());
    set.insert("batches_total".into(), entries.len().into());
    set.insert("batches".into(), entries.into());
    Value::Object(set)
}

fn next_entry(bytes: &[u8], position: usize) -> Result<Option<&[u8]>, RecordError> {
    let rest = bytes.get(position..).unwrap_or_default();
    let head = EntryHead::peek(rest)?;
    Ok(head.and_then(|head| rest.get(..head.size() as usize)))
}

/// Describes one entry, whose bytes are exactly `entry`. `position` is reported as it is given.
///
/// This is what `describe` lists under `batches`; a caller that streams a file calls it entry by entry.
#[must_use]
pub fn describe_entry(position: u64, entry: &[u8]) -> Value {
    let limit = DecompressLimit::default();
    let described = match Entry::parse(entry) {
        Ok(Entry::Batch(batch)) => describe_batch(position, &batch, limit),
        Ok(Entry::Legacy(message)) => describe_message(position, &message, limit),
        Err(error) => describe_broken(position, entry, &error),
    };
    Value::Object(described)
}

fn describe_batch(position: u64, batch: &BatchView<'_>, limit: DecompressLimit) -> Map<String, Value> {
    let mut fields = head_fields(position, batch.bytes().len(), 2, batch.check_crc().is_ok(), batch.crc());
    let rest = json!({
        "last_offset": batch.last_offset(),
        "base_offset": batch.base_offset(),
        "leader_epoch": batch.leader_epoch(),
        "count": batch.count(),
        "producer_id": batch.producer_id(),
        "producer_epoch": batch.producer_epoch(),
        "base_sequence": batch.base_sequence(),
        "last_sequence": batch.last_sequence(),
        "transactional": batch.is_transactional(),
        "control": batch.is_control(),
        "delete_horizon_ms": batch.delete_horizon(),
        "base_timestamp": batch.base_timestamp(),
    });
    extend(&mut fields, rest);
    match batch.codec() {
        Ok(codec) => fields.insert("compression".into(), codec.name().into()),
        Err(error) => fields.insert("compression_error".into(), error.to_string().into()),
    };
    fields.insert("timestamp_type".into(), batch.timestamp_type().name().into());
    fields.insert("max_timestamp".into(), batch.max_timestamp().into());

    let mut records = Vec::new();
    let read = read_records(batch, limit, &mut records);
    // Compressed records are of no use if their stream breaks, whichever came before.
    if read.is_err() && batch.codec().is_ok_and(Codec::is_compressed) {
        records.clear();
    }
    insert_records(&mut fields, read, records);
    fields
}

fn read_records(batch: &BatchView<'_>, limit: DecompressLimit, out: &mut Vec<Value>) -> Result<(), RecordError> {
    let mut records = batch.records(limit)?;
    while let Some(record) = records.next_record()? {
        out.push(describe_record(&record, batch.is_control()));
    }
    Ok(())
}

fn describe_record(record: &RecordView<'_>, control: bool) -> Value {
    let headers: Vec<Value> =
        record.headers.iter().map(|header| json!([header.key_text(), header.value.map(hex)])).collect();
    let mut described = json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "sequence": record.sequence,
        "key": record.key.map(hex),
        "value": record.value.map(hex),
        "headers": headers,
    });
    if control && let Some(kind) = record.key.and_then(ControlType::from_key) {
        described["control_type"] = kind.name().into();
    }
    described
}

fn describe_message(position: u64, message: &LegacyMessage<'_>, limit: DecompressLimit) -> Map<String, Value> {
    let crc_valid = message.check_crc().is_ok();
    let mut fields = head_fields(position, message.bytes().len(), message.magic(), crc_valid, message.crc());
    fields.insert("last_offset".into(), message.offset().into());
    match message.codec() {
        Ok(codec) => fields.insert("compression".into(), codec.name().into()),
        Err(error) => fields.insert("compression_error".into(), error.to_string().into()),
    };
    let timestamp_type = message.timestamp_type().map_or("NoTimestampType", TimestampType::name);
    fields.insert("timestamp_type".into(), timestamp_type.into());
    fields.insert("max_timestamp".into(), message.timestamp().into());

    let mut records = Vec::new();
    let read = read_messages(message, limit, &mut records);
    if read.is_err() {
        records.clear();
    }
    insert_records(&mut fields, read, records);
    fields
}

fn read_messages(message: &LegacyMessage<'_>, limit: DecompressLimit, out: &mut Vec<Value>) -> Result<(), RecordError> {
    if !message.codec()?.is_compressed() {
        out.push(describe_legacy_record(&message.record()?, message));
        return Ok(());
    }
    for inner in message.inner(limit)?.iter() {
        out.push(describe_legacy_record(&inner.record()?, &inner.message));
    }
    Ok(())
}

fn describe_legacy_record(record: &RecordView<'_>, message: &LegacyMessage<'_>) -> Value {
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.map(hex),
        "value": record.value.map(hex),
        "valid_crc": message.check_crc().is_ok(),
    })
}

/// An entry whose length is too small for its format: as many fields as there are bytes for.
fn describe_broken(position: u64, entry: &[u8], error: &RecordError) -> Map<String, Value> {
    let field = |at: usize| entry.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let magic = entry.get(16).copied().unwrap_or_default();
    let (crc_at, crc_from) = if magic == 2 { (17, 21) } else { (12, 16) };
    let stored = field(crc_at).unwrap_or_default();
    let covered = entry.get(crc_from..).unwrap_or_default();
    let computed = if magic == 2 { crc32c(covered) } else { crate::crc32(covered) };
    let mut fields = head_fields(position, entry.len(), magic, stored == computed, stored);
    let error = error.to_string();
    fields.insert("last_offset_error".into(), error.clone().into());
    if magic == 2 {
        let base_offset = entry.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        fields.insert("base_offset".into(), base_offset.into());
        fields.insert("leader_epoch".into(), field(12).map(|epoch| epoch as i32).into());
        fields.insert("header_error".into(), error.clone().into());
        if let Some(attributes) = entry.get(21..23) {
            let attributes = u16::from_be_bytes([attributes[0], attributes[1]]);
            match Codec::from_attributes(attributes) {
                Ok(codec) => fields.insert("compression".into(), codec.name().into()),
                Err(error) => fields.insert("compression_error".into(), error.to_string().into()),
            };
            let timestamp_type = TimestampType::from_attributes(attributes);
            fields.insert("timestamp_type".into(), timestamp_type.name().into());
        }
        fields.insert("timestamp_error".into(), error.clone().into());
    }
    fields.insert("records_error".into(), error.into());
    fields.insert("records_total".into(), 0.into());
    fields.insert("records".into(), Value::Array(Vec::new()));
    fields
}

fn head_fields(position: u64, size: usize, magic: u8, crc_valid: bool, crc: u32) -> Map<String, Value> {
    let mut fields = Map::new();
    extend(
        &mut fields,
        json!({ "position": position, "size": size, "magic": magic, "valid_crc": crc_valid, "crc": crc }),
    );
    fields
}

fn insert_records(fields: &mut Map<String, Value>, read: Result<(), RecordError>, records: Vec<Value>) {
    if let Err(error) = read {
        fields.insert("records_error".into(), error.to_string().into());
    }
    fields.insert("records_total".into(), records.len().into());
    fields.insert("records".into(), records.into());
}

fn extend(fields: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
