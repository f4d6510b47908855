//! Cost of the record format: checksums, writing, walking and validating, per record and per byte.
//!
//! Inputs are made from a fixed seed. Throughput is given in records where a case names its record size, and
//! in bytes for checksums. `cargo bench -p highwater-records -- <filter>`.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_records::validate::{Depth, LeaderRules, validate};
use highwater_records::{BatchBuilder, BatchOptions, BatchView, Codec, DecompressLimit, crc32, crc32c};
use highwater_types::TimestampMs;
use std::hint::black_box;

const NOW: i64 = 1_700_000_000_000;
/// (size of the batch, size of a value) in bytes.
const SHAPES: [(usize, usize); 4] = [(1 << 10, 100), (16 << 10, 100), (16 << 10, 1000), (1 << 20, 100)];

/// Text that compresses about as well as JSON does.
fn value(seed: &mut u64, size: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["\"id\":", "\"name\":", "true,", "null,", "{\"a\":", "},", "2026-", "\"x\","];
    let mut out = Vec::new();
    while out.len() < size {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        out.extend_from_slice(WORDS[(*seed % 8) as usize].as_bytes());
        out.extend_from_slice(format!("{:x}", *seed >> 44).as_bytes());
    }
    out.truncate(size);
    out
}

fn values(batch: usize, size: usize) -> Vec<Vec<u8>> {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    (0..(batch / size).max(1)).map(|_| value(&mut seed, size)).collect()
}

fn write(builder: &mut BatchBuilder, codec: Codec, values: &[Vec<u8>], out: &mut Vec<u8>) {
    builder.clear(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
    for (index, value) in values.iter().enumerate() {
        builder.append(NOW + index as i64 / 8, None, Some(value), &[]).expect("it fits");
    }
    out.clear();
    builder.finish_into(out).expect("all codecs are built");
}

fn batch(codec: Codec, values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut BatchBuilder::new(BatchOptions::default()), codec, values, &mut out);
    out
}

fn name(codec: Codec, batch: usize, size: usize) -> BenchmarkId {
    BenchmarkId::new(codec.name(), format!("batch {} KiB, values of {size}", batch >> 10))
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (size, value_size) in SHAPES {
        let values = values(size, value_size);
        group.throughput(Throughput::Elements(values.len() as u64));
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            let mut out = Vec::new();
            group.bench_function(name(codec, size, value_size), |b| {
                b.iter(|| write(&mut builder, codec, black_box(&values), &mut out));
            });
        }
    }
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk");
    for (size, value_size) in SHAPES {
        let values = values(size, value_size);
        group.throughput(Throughput::Elements(values.len() as u64));
        for codec in Codec::ALL {
            let bytes = batch(codec, &values);
            group.bench_function(name(codec, size, value_size), |b| {
                b.iter(|| {
                    let batch = BatchView::parse(black_box(&bytes)).expect("we wrote it");
                    let mut records = batch.records(DecompressLimit::default()).expect("we wrote it");
                    let mut sum = 0;
                    while let Some(record) = records.next_record().expect("we wrote it") {
                        sum += record.timestamp + record.value.map_or(0, <[u8]>::len) as i64;
                    }
                    sum
                });
            });
        }
    }
}

fn leader(c: &mut Criterion) {
    for (what, crc_checked) in [("validate", false), ("validate without checksum", true)] {
        let mut group = c.benchmark_group(what);
        for (size, value_size) in SHAPES {
            let values = values(size, value_size);
            group.throughput(Throughput::Elements(values.len() as u64));
            for (depth, codec) in [
                (Depth::Opaque, Codec::None),
                (Depth::Opaque, Codec::Lz4),
                (Depth::Full, Codec::Lz4),
                (Depth::Full, Codec::Zstd),
            ] {
                let rules = LeaderRules { depth, crc_checked, size_max: usize::MAX, ..LeaderRules::default() };
                let mut bytes = batch(codec, &values);
                let name = BenchmarkId::new(
                    format!("{codec} {depth:?}"),
                    format!("batch {} KiB, values of {value_size}", size >> 10),
                );
                group.bench_function(name, |b| {
                    b.iter(|| validate(black_box(&mut bytes), &rules, TimestampMs(NOW)).expect("it is valid"));
                });
            }
        }
    }
}

fn rebuild(c: &mut Criterion) {
    use highwater_records::validate::TargetCodec;

    let mut group = c.benchmark_group("rebuild");
    let values = values(16 << 10, 100);
    group.throughput(Throughput::Elements(values.len() as u64));
    for target in [Codec::None, Codec::Lz4] {
        let codec = TargetCodec::Fixed(target.into());
        let rules = LeaderRules { codec, size_max: usize::MAX, ..LeaderRules::default() };
        let bytes = batch(Codec::Snappy, &values);
        group.bench_function(BenchmarkId::new("snappy", target), |b| {
            b.iter_batched_ref(
                || bytes.clone(),
                |bytes| validate(bytes, &rules, TimestampMs(NOW)).expect("it is valid"),
                BatchSize::SmallInput,
            );
        });
    }
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for size in [64, 256, 1 << 10, 16 << 10, 1 << 20] {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31) as u8).collect();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("crc32c", size), |b| b.iter(|| crc32c(black_box(&bytes))));
        group.bench_function(BenchmarkId::new("crc32", size), |b| b.iter(|| crc32(black_box(&bytes))));
    }
}

criterion_group!(benches, checksum, walk, leader, encode, rebuild);
criterion_main!(benches);
