//! Zstandard frames, by the C library.

use core::cell::Cell;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, compress_bound,
    zstd_sys::ZSTD_EndDirective,
};

use super::decoder::Fault;

/// Bytes asked of the decoder at a time.
const CHUNK: usize = 64 << 10;
/// Largest window a frame may ask for, as a power of two: 128 MiB, the library's own default for streams,
/// which every level can be read with.
const WINDOW_LOG_MAX: u32 = 27;
/// Kafka's default level, which is the library's.
const LEVEL_DEFAULT: i32 = 3;

thread_local! {
    /// One spare context of each kind a thread: making one costs more than decompressing a small batch.
    static SPARE_DECODER: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
    static SPARE_ENCODER: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
}

pub(super) struct ZstdDecoder<'a> {
    input: &'a [u8],
    /// Taken out by `drop` only.
    context: Option<DCtx<'static>>,
    /// Whether the input so far ends with a whole frame.
    whole: bool,
}

impl core::fmt::Debug for ZstdDecoder<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ZstdDecoder")
            .field("left", &self.input.len())
            .field("whole", &self.whole)
            .finish_non_exhaustive()
    }
}

impl<'a> ZstdDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let context = SPARE_DECODER.take().unwrap_or_else(|| {
            let mut context = DCtx::create();
            let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
            set.expect("27 is within the bounds of the parameter");
            context
        });
        Self { input, context: Some(context), whole: true }
    }

    pub(super) fn read_chunk(&mut self, out: &mut Vec<u8>, budget: usize) -> Result<(), Fault> {
        let Some(context) = &mut self.context else {
            return Ok(());
        };
        let start = out.len();
        while out.len() == start && !(self.input.is_empty() && self.whole) {
            // One byte more than allowed, so that running over is told from ending exactly there.
            out.reserve(CHUNK.min(budget.saturating_add(1)));
            let mut input = InBuffer::around(self.input);
            let mut output = OutBuffer::around_pos(out, start);
            let hint = context
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| Fault::Malformed("not a zstd stream, or its window is too large"))?;
            let (consumed, written) = (input.pos(), output.pos() - start);
            self.input = &self.input[consumed..];
            self.whole = hint == 0;
            if written == 0 && consumed == 0 {
                return Err(Fault::Malformed("stream ends early"));
            }
        }
        if budget < out.len() - start { Err(Fault::OverBudget) } else { Ok(()) }
    }
}

impl Drop for ZstdDecoder<'_> {
    fn drop(&mut self) {
        if let Some(mut context) = self.context.take()
            && context.reset(ResetDirective::SessionOnly).is_ok()
        {
            SPARE_DECODER.set(Some(context));
        }
    }
}

pub(super) fn compress(payload: &[u8], level: Option<i32>, out: &mut Vec<u8>) {
    const NO_FAILURE: &str = "zstd fails only when out of memory or misused";
    let mut context = SPARE_ENCODER.take().unwrap_or_else(CCtx::create);
    context.reset(ResetDirective::SessionOnly).expect(NO_FAILURE);
    context.set_parameter(CParameter::CompressionLevel(level.unwrap_or(LEVEL_DEFAULT))).expect(NO_FAILURE);
    context.set_pledged_src_size(Some(payload.len() as u64)).expect(NO_FAILURE);

    let start = out.len();
    // With room for the worst case the library finishes in one call.
    out.reserve(compress_bound(payload.len()));
    let mut input = InBuffer::around(payload);
    let mut output = OutBuffer::around_pos(out, start);
    let left = context.compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_end).expect(NO_FAILURE);
    assert!(left == 0, "the bound given by the library suffices");
    SPARE_ENCODER.set(Some(context));
}
