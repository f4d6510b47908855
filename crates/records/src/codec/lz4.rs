//! LZ4 frames, read and written within the bounds that Kafka's own reader and writer set.
//!
//! Accepted are frames of version 1 with independent blocks, with or without content size, block checksums
//! (verified) and content checksum (skipped). Written are 64 KiB blocks without sizes and checksums.

use super::decoder::Fault;
use super::xxh32::xxh32;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// Version 1, independent blocks.
const FLAGS: u8 = 0x60;
/// Blocks of at most 64 KiB.
const BLOCK_DESCRIPTOR: u8 = 0x40;
const BLOCK: usize = 64 << 10;
/// High bit of a block's length: the block is stored, not compressed.
const STORED: u32 = 1 << 31;
/// An LZ4 sequence byte stands for at most 255 bytes.
const EXPANSION_MAX: usize = 255;

#[derive(Debug)]
pub(super) struct Lz4Decoder<'a> {
    input: &'a [u8],
    header_checked: bool,
    /// `None` before the frame's header has been read.
    frame: Option<Frame>,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    block_size_max: usize,
    block_checksums: bool,
}

impl<'a> Lz4Decoder<'a> {
    pub(super) fn new(input: &'a [u8], header_checked: bool) -> Self {
        Self { input, header_checked, frame: None, ended: false }
    }

    /// Reads one block that is not empty.
    pub(super) fn read_chunk(&mut self, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => self.read_header()?,
        };
        self.frame = Some(frame);
        let start = out.len();
        while out.len() == start && !self.ended {
            self.read_block(frame, out, budget)?;
        }
        Ok(())
    }

    fn read_header(&mut self) -> Result<Frame, Fault> {
        let after_magic = self.input.strip_prefix(&MAGIC).ok_or(Fault::Malformed("not an LZ4 frame"))?;
        let &[flags, descriptor, ..] = after_magic else {
            return Err(Fault::Malformed("cut frame header"));
        };
        if flags >> 6 != 1 {
            return Err(Fault::Malformed("frame version is not 1"));
        }
        if flags & 0b11 != 0 || descriptor & 0b1000_1111 != 0 {
            return Err(Fault::Malformed("reserved bits are set"));
        }
        if flags & 0b10_0000 == 0 {
            return Err(Fault::Malformed("blocks depend on each other"));
        }
        let block_size_max = match descriptor >> 4 {
            // 64 KiB, 256 KiB, 1 MiB, 4 MiB.
            id @ 4..=7 => 1 << (8 + 2 * id),
            _ => return Err(Fault::Malformed("unknown block size")),
        };
        // The descriptor holds the content size too if bit 3 is set; the checksum byte follows it.
        let size = if flags & 0b1000 == 0 { 2 } else { 10 };
        let (descriptor, rest) = after_magic.split_at_checked(size).ok_or(Fault::Malformed("cut frame header"))?;
        let (&checksum, rest) = rest.split_first().ok_or(Fault::Malformed("cut frame header"))?;
        if self.header_checked && checksum != header_checksum(descriptor) {
            return Err(Fault::Malformed("checksum of the frame header differs"));
        }
        self.input = rest;
        Ok(Frame { block_size_max, block_checksums: flags & 0b1_0000 != 0 })
    }

    fn read_block(&mut self, frame: Frame, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
        let head = self.take_u32()?;
        if head == 0 {
            // A content checksum may follow; nothing behind the end mark is looked at.
            self.ended = true;
            return Ok(());
        }
        let size = (head & !STORED) as usize;
        if frame.block_size_max < size {
            return Err(Fault::Malformed("block is larger than the frame allows"));
        }
        let (block, rest) = self.input.split_at_checked(size).ok_or(Fault::Malformed("block reaches past the end"))?;
        self.input = rest;
        if frame.block_checksums && self.take_u32()? != xxh32(block) {
            return Err(Fault::Malformed("checksum of a block differs"));
        }
        if head & STORED != 0 {
            if budget < block.len() {
                return Err(Fault::OverBudget);
            }
            out.extend_from_slice(block);
            return Ok(());
        }
        let space = frame.block_size_max.min(block.len().saturating_mul(EXPANSION_MAX));
        decompress_block(block, space, out, budget)
    }

    fn take_u32(&mut self) -> Result<u32, Fault> {
        let (word, rest) = self.input.split_first_chunk().ok_or(Fault::Malformed("stream ends early"))?;
        self.input = rest;
        Ok(u32::from_le_bytes(*word))
    }
}

fn decompress_block(block: &[u8], space: usize, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
    let start = out.len();
    out.resize(start + space, 0);
    let written = lz4_flex::block::decompress_into(block, &mut out[start..]);
    let written = written.map_err(|_| Fault::Malformed("not an LZ4 block"));
    out.truncate(start + written.unwrap_or(0));
    if budget < written? { Err(Fault::OverBudget) } else { Ok(()) }
}

/// The second byte of the hash, as the frame format wants it.
fn header_checksum(bytes: &[u8]) -> u8 {
    (xxh32(bytes) >> 8) as u8
}

/// `header_right` is false for v0 messages, whose writers hash the magic along with the descriptor.
pub(super) fn compress(payload: &[u8], header_right: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FLAGS, BLOCK_DESCRIPTOR]);
    let hashed = if header_right { start + MAGIC.len() } else { start };
    out.push(header_checksum(&out[hashed..]));
    let mut table = lz4_flex::block::CompressTable::large();
    for block in payload.chunks(BLOCK) {
        compress_block(block, &mut table, out);
    }
    out.extend_from_slice(&0u32.to_le_bytes());
}

fn compress_block(block: &[u8], table: &mut lz4_flex::block::CompressTable, out: &mut Vec<u8>) {
    let start = out.len();
    let body = start + 4;
    out.resize(body + lz4_flex::block::get_maximum_output_size(block.len()), 0);
    let size = lz4_flex::block::compress_into_with_table(block, &mut out[body..], table)
        .expect("the buffer has the size the library asks for");
    let (size, flag) = if size < block.len() {
        (size, 0)
    } else {
        out[body..body + block.len()].copy_from_slice(block);
        (block.len(), STORED)
    };
    // At most 64 KiB.
    out[start..body].copy_from_slice(&(size as u32 | flag).to_le_bytes());
    out.truncate(body + size);
}

#[cfg(test)]
mod tests {
    use super::compress;

    #[test]
    fn header_checksums_are_the_known_ones() {
        for (right, expected) in [(true, 0x82), (false, 0x1a)] {
            let mut out = Vec::new();
            compress(b"", right, &mut out);
            assert_eq!(out, [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, expected, 0, 0, 0, 0]);
        }
    }
}
