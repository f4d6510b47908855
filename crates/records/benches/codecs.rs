//! Whole batches in each codec, beside the codec's own library alone on the same payload, in the same run.
//!
//! What a batch costs above its codec is the record format: the difference per record. Throughput is given in records.
//! `cargo bench -p highwater-records --bench codecs`.

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_records::{BatchBuilder, BatchOptions, BatchView, Codec, DecompressLimit};

const NOW: i64 = 1_700_000_000_000;
const BATCH_BYTES: usize = 64 << 10;
/// Blocks of the framings that Kafka uses for snappy and for LZ4.
const SNAPPY_BLOCK: usize = 32 << 10;

/// Values that compress about as well as JSON does, from a fixed seed.
fn values(value_bytes: usize) -> Vec<Vec<u8>> {
    const WORDS: [&str; 8] = ["\"id\":", "\"name\":", "true,", "null,", "{\"a\":", "},", "2026-", "\"x\","];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = || {
        let mut out = Vec::new();
        while out.len() < value_bytes {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            out.extend_from_slice(WORDS[(seed % 8) as usize].as_bytes());
            out.extend_from_slice(format!("{:x}", seed >> 44).as_bytes());
        }
        out.truncate(value_bytes);
        out
    };
    (0..BATCH_BYTES / value_bytes).map(|_| value()).collect()
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

/// The codec's library as a user would call it, with a reused context where it has one.
struct Library {
    codec: Codec,
    zstd: zstd::bulk::Compressor<'static>,
    zstd_back: zstd::bulk::Decompressor<'static>,
    snappy: snap::raw::Encoder,
    snappy_back: snap::raw::Decoder,
}

impl Library {
    fn new(codec: Codec) -> Self {
        Self {
            codec,
            zstd: zstd::bulk::Compressor::new(3).expect("the default level"),
            zstd_back: zstd::bulk::Decompressor::new().expect("memory"),
            snappy: snap::raw::Encoder::new(),
            snappy_back: snap::raw::Decoder::new(),
        }
    }

    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match self.codec {
            Codec::None => out.extend_from_slice(payload),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(payload).and_then(|()| encoder.try_finish()).expect("memory");
            }
            Codec::Snappy => {
                let mut block = vec![0; snap::raw::max_compress_len(SNAPPY_BLOCK)];
                for piece in payload.chunks(SNAPPY_BLOCK) {
                    let length = self.snappy.compress(piece, &mut block).expect("a large enough buffer");
                    out.extend_from_slice(&(length as u32).to_be_bytes());
                    out.extend_from_slice(&block[..length]);
                }
            }
            Codec::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
                encoder.write_all(payload).expect("memory");
                encoder.finish().expect("memory");
            }
            Codec::Zstd => {
                out.resize(zstd::zstd_safe::compress_bound(payload.len()), 0);
                let length = self.zstd.compress_to_buffer(payload, out.as_mut_slice()).expect("a large enough buffer");
                out.truncate(length);
            }
        }
    }

    fn decompress(&mut self, compressed: &[u8], payload_bytes: usize, out: &mut Vec<u8>) {
        out.clear();
        match self.codec {
            Codec::None => out.extend_from_slice(compressed),
            Codec::Gzip => {
                flate2::read::MultiGzDecoder::new(compressed).read_to_end(out).expect("we wrote it");
            }
            Codec::Snappy => {
                let mut rest = compressed;
                while let Some((length, after)) = rest.split_first_chunk() {
                    let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                    let start = out.len();
                    out.resize(start + snap::raw::decompress_len(block).expect("we wrote it"), 0);
                    self.snappy_back.decompress(block, &mut out[start..]).expect("we wrote it");
                    rest = after;
                }
            }
            Codec::Lz4 => {
                lz4_flex::frame::FrameDecoder::new(compressed).read_to_end(out).expect("we wrote it");
            }
            Codec::Zstd => {
                out.resize(payload_bytes, 0);
                self.zstd_back.decompress_to_buffer(compressed, out.as_mut_slice()).expect("we wrote it");
            }
        }
        assert_eq!(out.len(), payload_bytes, "nothing is lost");
    }
}

fn encode(c: &mut Criterion) {
    for value_bytes in [100, 1_000] {
        let values = values(value_bytes);
        let plain = batch(Codec::None, &values);
        let payload = BatchView::parse(&plain).expect("we wrote it").payload();
        let mut group = c.benchmark_group(format!("encode {BATCH_BYTES} B of {value_bytes} B"));
        group.throughput(Throughput::Elements(values.len() as u64));
        let mut out = Vec::new();
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            group.bench_function(BenchmarkId::new("batch", codec), |b| {
                b.iter(|| write(&mut builder, codec, black_box(&values), &mut out));
            });
            let mut library = Library::new(codec);
            group.bench_function(BenchmarkId::new("codec alone", codec), |b| {
                b.iter(|| library.compress(black_box(payload), &mut out));
            });
        }
    }
}

fn decode(c: &mut Criterion) {
    for value_bytes in [100, 1_000] {
        let values = values(value_bytes);
        let plain = batch(Codec::None, &values);
        let payload = BatchView::parse(&plain).expect("we wrote it").payload();
        let mut group = c.benchmark_group(format!("decode {BATCH_BYTES} B of {value_bytes} B"));
        group.throughput(Throughput::Elements(values.len() as u64));
        for codec in Codec::ALL {
            let bytes = batch(codec, &values);
            group.bench_function(BenchmarkId::new("batch", codec), |b| {
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
            let mut library = Library::new(codec);
            let (mut compressed, mut out) = (Vec::new(), Vec::new());
            library.compress(payload, &mut compressed);
            group.bench_function(BenchmarkId::new("codec alone", codec), |b| {
                b.iter(|| library.decompress(black_box(&compressed), payload.len(), &mut out));
            });
        }
    }
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
