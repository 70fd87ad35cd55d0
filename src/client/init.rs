//! `client init`: creates an account.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{Output, note};
use super::profile::NewDevice;
use super::recovery_sheet::recovery_sheet;
use super::session::{explain_refusal, with};
use crate::signals::{Interrupted, stop_requested};
use graceful_client::{Client, ClientError, CreateOptions, OsRng, RecoveryKey, Status};

#[derive(Args)]
pub(super) struct Init {
    /// Relay address: wss://relay.example.org or 'wss://192.168.1.20#KEY'
    #[arg(long, value_name = "URL")]
    relay: String,
    /// Invitation, if the relay requires one
    #[arg(long, value_name = "INVITATION")]
    invite: Option<String>,
    /// Create no recovery key
    #[arg(long)]
    no_recovery: bool,
    #[command(flatten)]
    device: NewDevice,
}

/// The source of the account's recovery key.
enum Recovery {
    New(RecoveryKey),
    /// An earlier attempt created it and showed its words.
    ShownBefore,
    None,
}

/// Omits the invitation.
impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Init")
            .field("relay", &self.relay)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Init {
    pub(super) async fn run(self, profile_dir: PathBuf, output: Output) -> anyhow::Result<()> {
        let device_name = self.device.name();
        let recovery = self.recovery(&profile_dir)?;
        let options = CreateOptions {
            profile_dir: profile_dir.clone(),
            relay: self.relay,
            invite: self.invite,
            device_name: device_name.clone(),
            device_id: self.device.id(),
            recovery: recovery.key().cloned(),
            connect: self.device.connect(),
        };
        options.check()?;
        // First of all, so that the words were shown whatever happens next.
        if let (Some(key), false) = (recovery.key(), output.json) {
            println!("{}", recovery_sheet(&key.words()));
        }
        let created = tokio::select! {
            created = Client::create(options) => created.map_err(explain_refusal),
            () = stop_requested() => Err(Interrupted.into()),
        };
        match created {
            Ok(client) => {
                with(client, async |client| {
                    print_result(
                        &client.status(),
                        &device_name,
                        &profile_dir,
                        &recovery,
                        output,
                    );
                    Ok(())
                })
                .await
            }
            Err(error) => {
                print_pending(&profile_dir, &recovery, output);
                Err(error)
            }
        }
    }

    fn recovery(&self, profile_dir: &Path) -> anyhow::Result<Recovery> {
        match Client::inspect(profile_dir) {
            Err(ClientError::NoProfile(_)) if self.no_recovery => Ok(Recovery::None),
            Err(ClientError::NoProfile(_)) => Ok(Recovery::New(RecoveryKey::random(&mut OsRng))),
            Ok(Status {
                recovery: Some(_), ..
            }) => Ok(Recovery::ShownBefore),
            Ok(_) => Ok(Recovery::None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Recovery {
    fn key(&self) -> Option<&RecoveryKey> {
        match self {
            Self::New(key) => Some(key),
            Self::ShownBefore | Self::None => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::ShownBefore => "shown_before",
            Self::None => "none",
        }
    }

    fn words(&self) -> Value {
        self.key()
            .map_or(Value::Null, |key| key.words().join(" ").into())
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::New(_) => "the 12 words above",
            Self::ShownBefore => "the 12 words shown the first time",
            Self::None => "none: the account is lost with its last device",
        }
    }
}

fn print_result(
    status: &Status,
    device_name: &str,
    profile_dir: &Path,
    recovery: &Recovery,
    output: Output,
) {
    let result = json!({
        "account": status.account.to_string(),
        "device": status.device.to_string(),
        "name": device_name,
        "relay": status.relay,
        "profile": profile_dir,
        "recovery": recovery.name(),
        "recovery_phrase": recovery.words(),
    });
    output.result(&result, || {
        format!("Created an account with the device {device_name}.")
    });
    if output.json {
        return;
    }
    note(&format!(
        "  relay     {}\n  account   {}\n  profile   {} (contains the keys: keep it \
         private)\n  recovery  {}\nTo add another device, run: graceful-relay client pair",
        status.relay,
        status.account,
        profile_dir.display(),
        recovery.summary(),
    ));
}

/// The profile holds an account that no relay knows yet; the same command resumes.
fn print_pending(profile_dir: &Path, recovery: &Recovery, output: Output) {
    if !Client::inspect(profile_dir).is_ok_and(|status| !status.created) {
        return;
    }
    if output.json {
        // A program that reads this must not lose the words because of the relay.
        let result = json!({
            "created": false,
            "profile": profile_dir,
            "recovery": recovery.name(),
            "recovery_phrase": recovery.words(),
        });
        println!("{result}");
        return;
    }
    let advice = match recovery {
        Recovery::New(_) => {
            "Keep the words above: run the same command again to resume with this account.\n"
                .to_owned()
        }
        Recovery::ShownBefore => format!(
            "The words shown the first time stay valid. If nobody wrote them down, move \
             {} away and start again.\n",
            profile_dir.display()
        ),
        Recovery::None => return,
    };
    note(&advice);
}
