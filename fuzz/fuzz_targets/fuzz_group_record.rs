#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| highwater_broker::fuzzing::fuzz_group_record(data));
