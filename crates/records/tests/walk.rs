//! A walk over records can be left and gone on with.

use highwater_records::{BatchBuilder, BatchOptions, BatchView, RecordView, RecordWalk};

#[test]
fn a_walk_goes_on_where_it_was_left() {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: 7, ..BatchOptions::default() });
    (0..5).for_each(|i| builder.append(1_000 + i, None, Some(&[b'a'; 3][..i as usize % 4]), &[]).unwrap());
    let bytes = builder.finish().unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    let whole: Vec<RecordView<'_>> = batch.records_in_place().unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(whole.len(), 5);
    for left in 0..=5 {
        let mut walk = batch.records_in_place().unwrap().unwrap();
        walk.by_ref().take(left).for_each(drop);
        let mark = walk.mark();
        assert_eq!(mark.is_end(), left == 5);
        let rest: Vec<_> = RecordWalk::resume(batch.context(), batch.payload(), mark).map(Result::unwrap).collect();
        assert_eq!(rest, whole[left..]);
        // Bytes of something else are no cause for panic.
        RecordWalk::resume(batch.context(), &[], mark).for_each(drop);
        RecordWalk::resume(batch.context(), &[0xff; 9], mark).for_each(drop);
    }
}
