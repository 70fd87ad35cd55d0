//! `client devices`: lists the account's devices.

use std::path::Path;

use serde_json::{Value, json};

use super::errors::short;
use super::output::Output;
use super::pair::called;
use super::status::current;
use graceful_client::Device;

pub(super) async fn run(folder: &Path, output: Output) -> anyhow::Result<()> {
    for device in &current(folder).await?.devices {
        output.result(&as_json(device), || as_text(device));
    }
    Ok(())
}

pub(super) fn as_json(device: &Device) -> Value {
    json!({
        "device": device.key.to_string(),
        "name": device.name,
        "this": device.this,
        "removed": device.removed,
    })
}

pub(super) fn as_text(device: &Device) -> String {
    let note = match (device.this, device.removed) {
        (true, false) => "  this device",
        (true, true) => "  this device, removed",
        (false, true) => "  removed",
        (false, false) => "",
    };
    format!("{:20}  {}{note}", called(device), short(&device.key))
}
