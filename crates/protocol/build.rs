//! Compiles the wire schema without needing `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto/relay.proto");
    let files = protox::compile(["../../proto/relay.proto"], ["../../proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        // Holds a secret; its Debug is written by hand.
        .skip_debug([".graceful.relay.v1.CreateAccount"])
        .compile_fds(files)?;
    Ok(())
}
