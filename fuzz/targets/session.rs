#![no_main]

#[path = "../../tests/corpus/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("session", data));
