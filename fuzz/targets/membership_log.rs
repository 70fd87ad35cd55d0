#![no_main]

#[path = "../../tests/protocol/corpus/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("membership_log", data));
