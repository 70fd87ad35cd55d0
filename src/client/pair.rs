//! `client pair`: shows a link and adds the device that uses it.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::log::Log;
use super::output::{Output, count, note};
use super::prompt::prompt;
use super::session::{connected, open, with};
use super::{qr, snapshot_io};
use crate::sanitize::sanitize;
use graceful_client::{Client, Device, JoinRequest, Pairing, Status};

/// Longest wait without send progress before exiting.
const SEND_STALL_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Pair {
    /// Minutes until the link expires
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10))]
    minutes: u64,
    /// Accept the device without confirmation
    #[arg(long)]
    yes: bool,
    /// Print the QR code without a terminal
    #[arg(long)]
    qr: bool,
}

impl Pair {
    pub(super) async fn run(self, profile_dir: &Path, output: Output) -> anyhow::Result<()> {
        let client = open(profile_dir, None).await?;
        with(client, async |client| {
            connected(client).await?;
            let lifetime = Duration::from_secs(self.minutes * 60);
            let mut pairing = client.pair(lifetime).await?;
            self.show(&pairing.link(), lifetime, output)?;
            let request = wait(&mut pairing, lifetime).await?;
            let joined = self.answer(client, request).await?;
            let changes = send_history(client, profile_dir, &joined).await?;
            let result = json!({
                "joined": { "device": joined.key.to_string(), "name": joined.name },
                "snapshot": { "changes": changes },
            });
            output.result(&result, || {
                let name = sanitize(joined.name.as_deref().unwrap_or("The device"));
                match changes {
                    0 => format!("{name} joined the account."),
                    _ => format!(
                        "{name} joined the account. Sending {} from this device.",
                        count(changes, "change")
                    ),
                }
            });
            Ok(())
        })
        .await
    }

    fn show(&self, link: &str, lifetime: Duration, output: Output) -> anyhow::Result<()> {
        if output.json {
            println!(
                "{}",
                json!({ "link": link, "lifetime_s": lifetime.as_secs() })
            );
            return Ok(());
        }
        note("On the new device, scan this code or run: graceful-relay client join 'LINK'");
        note("The link is valid once and contains a secret. Show it to nobody else.\n");
        if self.qr || std::io::stdout().is_terminal() {
            println!(
                "{}\n",
                qr::picture(link).context("the link does not fit a QR code")?
            );
        }
        println!("{link}");
        note("");
        Ok(())
    }

    async fn answer(&self, client: &Client, request: JoinRequest) -> anyhow::Result<Device> {
        let name = sanitize(request.name());
        if !self.yes
            && !prompt(&format!(
                "The device \"{name}\" requests to join. Accept it?"
            ))
            .await?
        {
            request.refuse().await?;
            // Closing the client sends the refusal.
            bail!("device declined");
        }
        let before = client.devices();
        request.accept().await?;
        let is_new = |device: &&Device| before.iter().all(|known| known.key != device.key);
        let mut status = client.watch();
        let joined = |status: &Status| status.devices.iter().any(|device| is_new(&device));
        let joined = status.wait_for(joined).await.context("client closed")?;
        let joined = joined
            .devices
            .iter()
            .find(is_new)
            .cloned()
            .context("the device was removed")?;
        Ok(joined)
    }
}

/// Sends this device's changes to the new device. The relay still holds everything that this device
/// has not acknowledged.
async fn send_history(client: &Client, profile_dir: &Path, joined: &Device) -> anyhow::Result<u64> {
    let log = Log::open(profile_dir, client).await?;
    let changes = snapshot_io::send(client, &log, joined.key).await?;
    let mut status = client.watch();
    // Any progress resets the timeout.
    while client.status().waiting > 0 {
        let waiting = client.status().waiting;
        let less = status.wait_for(|status| status.waiting < waiting);
        if !matches!(tokio::time::timeout(SEND_STALL_WAIT, less).await, Ok(Ok(_))) {
            note(
                "Some changes for the new device are not sent yet. To send them, run: \
                 graceful-relay client push",
            );
            break;
        }
    }
    Ok(changes)
}

/// Shows a countdown until a device uses the link.
async fn wait(pairing: &mut Pairing, lifetime: Duration) -> anyhow::Result<JoinRequest> {
    let bar =
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(120));
    let until = Instant::now() + lifetime;
    let countdown = async {
        loop {
            let left_s = until.saturating_duration_since(Instant::now()).as_secs();
            let clock = format!("{}:{:02}", left_s / 60, left_s % 60);
            bar.set_message(format!(
                "Waiting for the new device, {clock} left (Ctrl-C to cancel)"
            ));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let request = tokio::select! {
        request = pairing.next_request() => request,
        () = countdown => bail!("the countdown ended"),
    };
    bar.finish_and_clear();
    Ok(request?)
}
