//! Snappy: one bare block, or blocks in the framing of Java's `SnappyOutputStream` ("xerial").
//!
//! The framing is a 16-byte header and then blocks, each behind its compressed length as 32 bits, big-endian.
//! The header may recur where streams were concatenated.

use super::decoder::Fault;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The header this crate writes: magic, version 1, readable by version 1.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Uncompressed bytes in a block, as Java's writer has by default.
const BLOCK: usize = 32 << 10;
/// A copy element of 3 bytes stands for at most 64, so no block can grow by more than this, with room to spare.
const EXPANSION_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct SnappyDecoder<'a> {
    input: &'a [u8],
    framed: bool,
}

impl<'a> SnappyDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, framed: input.starts_with(&MAGIC) }
    }

    /// Reads one block.
    pub(super) fn read_chunk(&mut self, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
        let start = out.len();
        while out.len() == start && !self.input.is_empty() {
            let block = if self.framed { self.next_block()? } else { core::mem::take(&mut self.input) };
            if let Some(block) = block_or_none(block) {
                decompress_block(block, out, budget)?;
            }
        }
        Ok(())
    }

    /// The next block of a framed stream, empty at the end of one of several concatenated streams.
    fn next_block(&mut self) -> Result<&'a [u8], Fault> {
        if self.input.starts_with(&MAGIC) {
            let after = self.input.get(HEADER.len()..).ok_or(Fault::Malformed("cut stream header"))?;
            self.input = after;
            return Ok(&[]);
        }
        let (length, rest) = self.input.split_first_chunk().ok_or(Fault::Malformed("cut block length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, rest) = rest.split_at_checked(length).ok_or(Fault::Malformed("block reaches past the end"))?;
        self.input = rest;
        Ok(block)
    }
}

fn block_or_none(block: &[u8]) -> Option<&[u8]> {
    (!block.is_empty()).then_some(block)
}

fn decompress_block(block: &[u8], out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
    const MALFORMED: Fault = Fault::Malformed("not a snappy block");
    let size = snap::raw::decompress_len(block).map_err(|_| MALFORMED)?;
    // The library believes what a block's head says, up to 4 GiB.
    if budget < size {
        return Err(Fault::OverBudget);
    }
    if block.len().saturating_mul(EXPANSION_MAX) < size {
        return Err(MALFORMED);
    }
    let start = out.len();
    out.resize(start + size, 0);
    match snap::raw::Decoder::new().decompress(block, &mut out[start..]) {
        Ok(written) if written == size => Ok(()),
        _ => {
            out.truncate(start);
            Err(MALFORMED)
        }
    }
}

pub(super) fn compress(payload: &[u8], out: &mut Vec<u8>) {
    let mut encoder = snap::raw::Encoder::new();
    out.extend_from_slice(&HEADER);
    for block in payload.chunks(BLOCK) {
        let start = out.len();
        let body = start + 4;
        out.resize(body + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut out[body..]).expect("the buffer has the size the library asks for");
        // At most a little over 32 KiB.
        out[start..body].copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(body + size);
    }
}
