//! Gzip: RFC 1952 members, one after another.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::decoder::Fault;

/// Bytes asked of the inflater at a time.
const CHUNK: usize = 32 << 10;
/// Deflate's largest window, as a power of two.
const WINDOW_BITS: u8 = 15;
/// The first two bytes of a member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug)]
pub(super) struct GzipDecoder<'a> {
    input: &'a [u8],
    /// `None` once the last member has ended.
    member: Option<Decompress>,
}

impl<'a> GzipDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, member: Some(Decompress::new_gzip(WINDOW_BITS)) }
    }

    pub(super) fn read_chunk(&mut self, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
        let start = out.len();
        while let Some(member) = &mut self.member {
            // One byte more than allowed, so that running over is told from ending exactly there.
            out.reserve(CHUNK.min(budget.saturating_add(1)));
            let consumed = member.total_in();
            let status = member
                .decompress_vec(self.input, out, FlushDecompress::None)
                .map_err(|_| Fault::Malformed("not a gzip stream, or its checksum differs"))?;
            let consumed = (member.total_in() - consumed) as usize;
            self.input = self.input.get(consumed..).unwrap_or_default();
            let added = out.len() - start;
            if budget < added {
                return Err(Fault::OverBudget);
            }
            match status {
                Status::StreamEnd if self.input.starts_with(&MAGIC) => {
                    self.member = Some(Decompress::new_gzip(WINDOW_BITS));
                }
                // Java's reader ignores what is no further member, so it may exist in logs.
                Status::StreamEnd => self.member = None,
                Status::Ok | Status::BufError if added == 0 && consumed == 0 => {
                    return Err(Fault::Malformed("stream ends early"));
                }
                Status::Ok | Status::BufError => {}
            }
            if added != 0 {
                break;
            }
        }
        Ok(())
    }
}

pub(super) fn compress(payload: &[u8], level: Option<i32>, out: &mut Vec<u8>) {
    // `Compression` has checked the range; -1 is zlib's "default".
    let level =
        level.and_then(|level| u32::try_from(level).ok()).map_or_else(Default::default, flate2::Compression::new);
    let mut member = Compress::new_gzip(level, WINDOW_BITS);
    loop {
        let rest = &payload[member.total_in() as usize..];
        out.reserve(64 + rest.len() / 2);
        let status = member.compress_vec(rest, out, FlushCompress::Finish);
        if status.expect("deflate fails only on misuse of its state") == Status::StreamEnd {
            return;
        }
    }
}
