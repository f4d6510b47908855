//! The rule for index entries, written a second time.
//!
//! It shares no code with the log: the four header fields it needs are read at their places in the bytes.

/// The bytes of the two index files of one segment.
pub(crate) struct Indexes {
    pub(crate) offset: Vec<u8>,
    pub(crate) time: Vec<u8>,
}

/// Size of an entry of the offset index.
pub(crate) const OFFSET_ENTRY_SIZE: usize = 8;
/// Size of an entry of the time index.
pub(crate) const TIME_ENTRY_SIZE: usize = 12;

/// What the indexes of a segment hold that was written in one run and then closed.
pub(crate) fn indexes(base: i64, log: &[u8], interval: usize) -> Indexes {
    let (mut offset_index, mut time_index) = (Vec::new(), Vec::new());
    let (mut max, mut last_indexed_max) = ((-1, -1), -1);
    let mut append_time = |(timestamp, offset): (i64, i64)| {
        if timestamp > last_indexed_max {
            time_index.extend(timestamp.to_be_bytes());
            time_index.extend(relative(base, offset));
            last_indexed_max = timestamp;
        }
    };
    let mut since_entry = 0;
    let mut position = 0;
    while position < log.len() {
        let batch = &log[position..];
        let size = 12 + i32::from_be_bytes(field(batch, 8)) as usize;
        let last_offset = i64::from_be_bytes(field(batch, 0)) + i64::from(i32::from_be_bytes(field(batch, 23)));
        let max_timestamp = i64::from_be_bytes(field(batch, 35));
        if max_timestamp > max.0 {
            max = (max_timestamp, last_offset);
        }
        if since_entry > interval {
            offset_index.extend(relative(base, last_offset));
            offset_index.extend((position as i32).to_be_bytes());
            append_time(max);
            since_entry = 0;
        }
        since_entry += size;
        position += size;
    }
    append_time(max);
    Indexes { offset: offset_index, time: time_index }
}

fn relative(base: i64, offset: i64) -> [u8; 4] {
    i32::try_from(offset - base).expect("a segment spans fewer than 2^31 offsets").to_be_bytes()
}

fn field<const N: usize>(batch: &[u8], at: usize) -> [u8; N] {
    batch[at..at + N].try_into().expect("N bytes")
}
