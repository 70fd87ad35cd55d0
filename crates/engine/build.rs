//! Compiles the schema of what is sealed without needing `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto/sealed.proto");
    let files = protox::compile(["../../proto/sealed.proto"], ["../../proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        // Holds secrets; its Debug is written by hand.
        .skip_debug([".graceful.sealed.v1.AccountBundle"])
        .compile_fds(files)?;
    Ok(())
}
