//! `client remove`: removes a device from the account.

use std::path::Path;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::errors::short;
use super::output::Output;
use super::pair::called;
use super::prompt::confirm;
use super::session::{connected, open, with};
use graceful_client::Device;

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Device name, or start of its key
    device: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(super) async fn run(self, folder: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(folder, None).await?;
        with(client, async |client| {
            connected(client).await?;
            let device = find(&client.devices(), &self.device)?;
            let name = called(&device);
            let question = format!(
                "Remove {name} ({})? It receives nothing new, but keeps what it has.",
                short(&device.key)
            );
            confirm(&question, self.yes).await?;
            client.remove(device.key).await?;
            let result =
                json!({ "removed": { "device": device.key.to_string(), "name": device.name } });
            output.result(&result, || {
                format!("Removed {name}. The account has new keys.")
            });
            Ok(())
        })
        .await
    }
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
                .map(called)
                .collect();
            bail!("no device named {wanted:?}; devices: {}", names.join(", "))
        }
        _ => {
            let which: Vec<_> = found
                .iter()
                .map(|device| format!("{} ({})", called(device), short(&device.key)))
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
    fn a_device_is_found_by_name_or_key_and_never_guessed() {
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
