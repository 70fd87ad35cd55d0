//! Graceful Relay itself: the same frames as any device, one account for each connection.

use anyhow::{Result, anyhow};
use bytes::Bytes;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, device_bytes};
use graceful_protocol::wire::{Ack, Envelope, Push};
use graceful_raw_client::ConnectOptions;
use graceful_raw_client::{Connector, RawAccount, RawConnection, RawError};

use crate::driver::{Driver, Target};

pub struct Relay {
    connection: RawConnection,
    account: RawAccount,
    pushed: u64,
}

fn said(trouble: RawError) -> anyhow::Error {
    anyhow!("the relay: {trouble}")
}

async fn dial(target: &Target) -> Result<RawConnection> {
    Connector::new(&target.url, &ConnectOptions::default())?
        .dial()
        .await
        .map_err(said)
}

impl Relay {
    async fn next(&mut self) -> Result<RelayFrame> {
        match self.connection.receiver.next().await.map_err(said)? {
            RelayFrame::Refusal(refusal) => Err(anyhow!("the relay refuses: {}", refusal.message)),
            frame => Ok(frame),
        }
    }

    async fn send(&mut self, frame: DeviceFrame) -> Result<()> {
        self.connection
            .sender
            .send(device_bytes(frame))
            .await
            .map_err(said)
    }
}

impl Driver for Relay {
    async fn connect(target: &Target, _number: usize) -> Result<Self> {
        let mut connection = dial(target).await?;
        let account = RawAccount::generate();
        connection
            .create_account(&account, "")
            .await
            .map_err(said)?;
        Ok(Self {
            connection,
            account,
            pushed: 0,
        })
    }

    async fn push(&mut self, payload: &Bytes) -> Result<()> {
        self.pushed += 1;
        let envelope = Envelope {
            push_number: self.pushed,
            sealed: payload.clone(),
            recipient: Bytes::new(),
        };
        self.send(DeviceFrame::Push(Push {
            envelopes: vec![envelope],
        }))
        .await?;
        loop {
            if let RelayFrame::Stored(stored) = self.next().await?
                && stored.push_number == self.pushed
            {
                return Ok(());
            }
        }
    }

    async fn listen(&mut self, target: &Target, _number: usize) -> Result<Self> {
        let added = self.account.add();
        self.connection
            .append_membership(added, 2)
            .await
            .map_err(said)?;
        let mut connection = dial(target).await?;
        connection
            .authenticate(&self.account.devices()[1])
            .await
            .map_err(said)?;
        Ok(Self {
            connection,
            account: RawAccount::generate(),
            pushed: 0,
        })
    }

    async fn receive(&mut self) -> Result<Vec<Bytes>> {
        loop {
            if let RelayFrame::Deliver(deliver) = self.next().await?
                && !deliver.envelopes.is_empty()
            {
                self.send(DeviceFrame::Ack(Ack {
                    through: deliver.through,
                }))
                .await?;
                return Ok(deliver
                    .envelopes
                    .into_iter()
                    .map(|envelope| envelope.sealed)
                    .collect());
            }
        }
    }
}
