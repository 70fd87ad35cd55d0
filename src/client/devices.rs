//! `client devices`: lists the account's devices; finds and names devices for other commands.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::output::Output;
use super::session::current;
use crate::sanitize::sanitize;
use graceful_client::{Client, Device};
use graceful_protocol::DeviceKey;

pub(super) async fn run(profile_dir: &Path, output: Output) -> anyhow::Result<()> {
    for device in &current(profile_dir).await?.devices {
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
    format!(
        "{:20}  {}{note}",
        display_name(device),
        short_key(&device.key)
    )
}

/// Returns a device's name for lists.
pub(super) fn display_name(device: &Device) -> String {
    device
        .name
        .as_deref()
        .map_or_else(|| short_key(&device.key), sanitize)
}

/// Returns a device's name, or the start of its key.
pub(super) fn device_name(client: &Client, device: &DeviceKey) -> String {
    let devices = client.devices();
    let known = devices
        .iter()
        .find(|known| known.key == *device)
        .and_then(|known| known.name.as_deref());
    known.map_or_else(|| short_key(device), sanitize)
}

/// Returns the start of a key, enough to tell a person's devices apart.
pub(super) fn short_key(device: &DeviceKey) -> String {
    device.to_string().chars().take(8).collect()
}

/// Finds a device by name, or by the start of its key.
pub(super) fn find(devices: &[Device], wanted: &str) -> anyhow::Result<Device> {
    let present = || devices.iter().filter(|device| !device.removed);
    let is_named = |device: &&Device| {
        device
            .name
            .as_deref()
            .is_some_and(|name| name.to_lowercase() == wanted.to_lowercase())
    };
    let mut found: Vec<_> = present().filter(is_named).collect();
    if found.is_empty() && !wanted.is_empty() {
        found = present()
            .filter(|device| device.key.to_string().starts_with(wanted))
            .collect();
    }
    match found[..] {
        [device] if device.this => {
            bail!("a device cannot remove itself; use another device")
        }
        [device] => Ok(device.clone()),
        [] => {
            let names: Vec<_> = present()
                .filter(|device| !device.this)
                .map(display_name)
                .collect();
            bail!("no device named {wanted:?}; devices: {}", names.join(", "))
        }
        _ => {
            let which: Vec<_> = found
                .iter()
                .map(|device| format!("{} ({})", display_name(device), short_key(&device.key)))
                .collect();
            bail!(
                "device {wanted:?} is ambiguous: {}; use the start of its key",
                which.join(" or ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::DeviceKey;

    fn device(number: u8, name: &str) -> Device {
        let key = DeviceKey::new([number; 32]);
        Device {
            key,
            name: Some(name.to_owned()),
            this: number == 0,
            removed: number > 9,
        }
    }

    #[test]
    fn find_device_by_name_or_key_rejects_ambiguity() {
        let devices = [
            device(0, "Desk"),
            device(1, "Phone"),
            device(2, "Phone"),
            device(3, "Tablet"),
            device(10, "Old"),
        ];
        let found = |wanted: &str| find(&devices, wanted).map_err(|error| error.to_string());
        assert_eq!(found("tablet").unwrap(), devices[3]);
        assert_eq!(found(&devices[1].key.to_string()[..8]).unwrap(), devices[1]);
        let error = found("Phone").unwrap_err();
        assert_eq!(
            error,
            "device \"Phone\" is ambiguous: Phone (AQEBAQEB) or Phone (AgICAgIC); use the start of its key"
        );
        assert!(
            found("Old")
                .unwrap_err()
                .contains("devices: Phone, Phone, Tablet")
        );
        assert!(found("Desk").unwrap_err().contains("cannot remove itself"));
        assert!(found("").is_err());
    }
}
