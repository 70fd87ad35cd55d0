//! `client create`: founds an account.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::new_device::NewDevice;
use super::output::{Output, note};
use super::recovery_sheet::recovery_sheet;
use super::session::{advise, with};
use crate::signals::{Interrupted, stop_requested};
use graceful_client::{Client, ClientError, CreateOptions, OsRng, RecoveryKey, Status};

#[derive(Args)]
pub(super) struct Create {
    /// The relay's address, like wss://relay.example.org; if it made its own certificate, with its
    /// key, in quotes: 'wss://192.168.1.20#KEY'
    #[arg(long, value_name = "URL")]
    relay: String,
    /// An invitation, where the relay asks for one
    #[arg(long, value_name = "INVITATION")]
    invite: Option<String>,
    /// Make no recovery key: if every device is lost, the account is
    #[arg(long)]
    no_recovery: bool,
    #[command(flatten)]
    device: NewDevice,
}

/// Where the account's recovery key comes from.
enum Recovery {
    New(RecoveryKey),
    /// An earlier try made it, and has shown its words.
    Before,
    None,
}

/// Without the invitation.
impl fmt::Debug for Create {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Create")
            .field("relay", &self.relay)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Create {
    pub(super) async fn run(self, folder: PathBuf, output: Output) -> anyhow::Result<()> {
        let device_name = self.device.name();
        let recovery = self.recovery(&folder)?;
        let options = CreateOptions {
            folder: folder.clone(),
            relay: self.relay,
            invite: self.invite,
            device_name: device_name.clone(),
            device_id: self.device.id(),
            recovery: recovery.key().cloned(),
            connect: self.device.connect(),
        };
        options.check()?;
        // Before anything else: whatever happens from now on, the person has seen them.
        if let (Some(key), false) = (recovery.key(), output.json) {
            println!("{}", recovery_sheet(&key.words()));
        }
        let created = tokio::select! {
            created = Client::create(options) => created.map_err(advise),
            () = stop_requested() => Err(Interrupted.into()),
        };
        match created {
            Ok(client) => {
                with(client, async |client| {
                    tell(&client.status(), &device_name, &folder, &recovery, output);
                    Ok(())
                })
                .await
            }
            Err(error) => {
                print_pending(&folder, &recovery, output);
                Err(error)
            }
        }
    }

    fn recovery(&self, folder: &Path) -> anyhow::Result<Recovery> {
        match Client::inspect(folder) {
            Err(ClientError::NoProfile(_)) if self.no_recovery => Ok(Recovery::None),
            Err(ClientError::NoProfile(_)) => Ok(Recovery::New(RecoveryKey::random(&mut OsRng))),
            Ok(Status {
                recovery: Some(_), ..
            }) => Ok(Recovery::Before),
            Ok(_) => Ok(Recovery::None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Recovery {
    fn key(&self) -> Option<&RecoveryKey> {
        match self {
            Self::New(key) => Some(key),
            Self::Before | Self::None => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Before => "shown_before",
            Self::None => "none",
        }
    }

    fn words(&self) -> Value {
        self.key()
            .map_or(Value::Null, |key| key.words().join(" ").into())
    }

    fn in_short(&self) -> &'static str {
        match self {
            Self::New(_) => "the 12 words above",
            Self::Before => "the 12 words that were shown the first time",
            Self::None => "none: if every device is lost, the account is",
        }
    }
}

fn tell(status: &Status, device_name: &str, folder: &Path, recovery: &Recovery, output: Output) {
    let result = json!({
        "account": status.account.to_string(),
        "device": status.device.to_string(),
        "name": device_name,
        "relay": status.relay,
        "profile": folder,
        "recovery": recovery.name(),
        "recovery_words": recovery.words(),
    });
    output.result(&result, || {
        format!("{device_name} is the first device of a new account.")
    });
    if output.json {
        return;
    }
    note(&format!(
        "  relay     {}\n  account   {}\n  folder    {} (holds the keys: keep it to yourself)\n  recovery  {}\n\
         To add the next device: graceful-relay client pair",
        status.relay,
        status.account,
        folder.display(),
        recovery.in_short(),
    ));
}

/// No relay knows the account yet, but the folder holds it: the same command goes on from here.
fn print_pending(folder: &Path, recovery: &Recovery, output: Output) {
    if !Client::inspect(folder).is_ok_and(|status| !status.created) {
        return;
    }
    if output.json {
        // Who reads these must not lose the words with the relay.
        let result = json!({
            "created": false,
            "profile": folder,
            "recovery": recovery.name(),
            "recovery_words": recovery.words(),
        });
        println!("{result}");
        return;
    }
    let advice = match recovery {
        Recovery::New(_) => {
            "The words above stay good: the same command goes on with this account.\n".to_owned()
        }
        Recovery::Before => format!(
            "The words that were shown the first time stay good. If nobody wrote them down, move {} away and \
             begin again.\n",
            folder.display()
        ),
        Recovery::None => return,
    };
    note(&advice);
}
