//! The records every client writes and expects back, drawn from a seed.
//!
//! The same recipe stands in `python/records.py` and in `Records.java`; the digests that the three
//! compute are compared with each other, so a slip in one of them cannot pass unnoticed.

use std::sync::LazyLock;

/// One record. The offset is its position among the records of its partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) partition: usize,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, Option<Vec<u8>>)>,
}

/// Everything that a record depends on, beside its number.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    pub(crate) partitions: usize,
    pub(crate) base_timestamp_ms: i64,
    /// What the client refuses to send: an empty field is written where a null would be.
    pub(crate) refused: Vec<String>,
}

impl Recipe {
    /// Records `first..first + count` in the order they are produced.
    pub(crate) fn stream(&self, first: u64, count: u64) -> Vec<Record> {
        (first..first + count).map(|index| self.record(index)).collect()
    }

    /// The first `count` records, split by partition.
    pub(crate) fn by_partition(&self, count: u64) -> Vec<Vec<Record>> {
        let mut split = vec![Vec::new(); self.partitions];
        for record in self.stream(0, count) {
            split[record.partition].push(record);
        }
        split
    }

    fn record(&self, index: u64) -> Record {
        let mut draws = Draws(self.seed ^ (index + 1).wrapping_mul(GOLDEN));

        let r = draws.next();
        let key = match r % 16 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(slice(&NOISE, r >> 16, 1 + (r >> 8) % 32)),
        };

        let r = draws.next();
        let pool = if (r >> 24) & 1 == 1 { &TEXT } else { &NOISE };
        let mut value = match r % 16 {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(slice(pool, r >> 32, (r >> 8) % 8192)),
            _ => Some(slice(pool, r >> 32, (r >> 8) % 256)),
        };
        if key.is_none() && value.is_none() && self.refuses("key and value null") {
            value = Some(Vec::new());
        }

        let r = draws.next();
        let partition = usize::try_from(r % self.partitions as u64).expect("less than a usize");
        // Not in order, so that a look-up by time has to find the first match, not a binary search's.
        let age = i64::try_from((r >> 8) % 50).expect("less than 50");
        let elapsed = i64::try_from(10 * index).expect("tests write fewer records");
        let headers = (0..(r >> 16) % 4).map(|_| self.header(draws.next())).collect();
        Record { partition, timestamp_ms: self.base_timestamp_ms + elapsed - age, key, value, headers }
    }

    fn header(&self, r: u64) -> (&'static str, Option<Vec<u8>>) {
        let name = HEADER_NAMES[usize::try_from(r % 4).expect("less than 4")];
        let value = match (r >> 8) % 8 {
            0 if self.refuses("null headers") => Some(Vec::new()),
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(slice(&NOISE, r >> 32, (r >> 16) % 24)),
        };
        (name, value)
    }

    fn refuses(&self, what: &str) -> bool {
        self.refused.iter().any(|each| each == what)
    }
}

/// CRC-32 over every field of every record, partition by partition, in hexadecimal.
pub(crate) fn digest(split: &[Vec<Record>]) -> String {
    let mut crc = crc32fast::Hasher::new();
    for (partition, records) in split.iter().enumerate() {
        for (offset, record) in records.iter().enumerate() {
            crc.update(&u32::try_from(partition).expect("few partitions").to_be_bytes());
            crc.update(&(offset as u64).to_be_bytes());
            crc.update(&record.timestamp_ms.to_be_bytes());
            update_sized(&mut crc, record.key.as_deref());
            update_sized(&mut crc, record.value.as_deref());
            crc.update(&u32::try_from(record.headers.len()).expect("few headers").to_be_bytes());
            for (name, value) in &record.headers {
                update_sized(&mut crc, Some(name.as_bytes()));
                update_sized(&mut crc, value.as_deref());
            }
        }
    }
    format!("{:08x}", crc.finalize())
}

fn update_sized(crc: &mut crc32fast::Hasher, field: Option<&[u8]>) {
    let size = field.map_or(-1, |bytes| i32::try_from(bytes.len()).expect("fields are small"));
    crc.update(&size.to_be_bytes());
    crc.update(field.unwrap_or_default());
}

fn slice(pool: &[u8], start: u64, size: u64) -> Vec<u8> {
    let start = usize::try_from(start % STARTS).expect("less than the pool");
    let size = usize::try_from(size).expect("less than the pool");
    pool[start..start + size].to_vec()
}

/// `SplitMix64`, without the lowest bit, so that Java needs no unsigned arithmetic.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = mix(self.0.wrapping_add(GOLDEN));
        self.0 >> 1
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const POOL_SIZE: usize = 65536;
const STARTS: u64 = 32768;
pub(crate) const HEADER_NAMES: [&str; 4] = ["trace-id", "", "größe", "k"];

/// Bytes that do not compress.
static NOISE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (1..=POOL_SIZE as u64 / 8).flat_map(|word| mix(word).to_le_bytes()).collect());

/// Bytes that do.
static TEXT: LazyLock<Vec<u8>> =
    LazyLock::new(|| b"the line below which a record is committed, ".iter().copied().cycle().take(POOL_SIZE).collect());
