//! Records as they are in a log.

use highwater_records::{DecompressLimit, Entry, RecordError, RecordSet};
use highwater_types::TimestampMs;

/// A record that a broker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The partition that it is in.
    pub partition: u32,
    /// Its place there.
    pub offset: u64,
    /// When it was made or appended, as the topic's `message.timestamp.type` says.
    pub timestamp: TimestampMs,
    /// Its key; `None` for a null key, which is not an empty one.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` deletes the key in compacted topics.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl StoredRecord {
    /// The value as text: the empty one for a null, with `U+FFFD` for what is no UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Decodes the whole batches of `bytes` and adds their records from offset `from` on. Returns the offset after the last
/// batch; `None` if there was none.
pub(crate) fn decode(
    bytes: &[u8],
    partition: u32,
    from: u64,
    records: &mut Vec<StoredRecord>,
) -> Result<Option<u64>, RecordError> {
    let mut next = None;
    let mut entries = RecordSet::new(bytes).entries();
    for entry in entries.by_ref() {
        // What comes after the whole ones is the beginning of one that was cut off.
        let Ok(entry) = entry else { break };
        next = u64::try_from(entry.next_offset()).ok();
        if let Entry::Batch(batch) = entry
            && batch.attributes().is_control()
        {
            continue;
        }
        let mut decoded = entry.records(DecompressLimit::default())?;
        while let Some(record) = decoded.next_record()? {
            let Some(offset) = u64::try_from(record.offset).ok().filter(|offset| from <= *offset) else { continue };
            records.push(StoredRecord {
                partition,
                offset,
                timestamp: TimestampMs(record.timestamp),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|header| (header.key_text().into_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            });
        }
    }
    Ok(next)
}
