//! NATS JetStream, over its own text protocol: a publish is answered when the stream has it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::Peer;
use crate::driver::{Driver, Target};
use crate::line::Line;

pub const PEER: Peer = Peer {
    name: "NATS JetStream",
    package: "nats-server",
    settings: "file storage, sync_interval: always, one replica",
    promise: "the message block was written and synced: on disk",
    command,
};

/// Debian 12's is older than the setting `sync_interval`: another program may be named.
pub const VARIABLE: &str = "NATS_SERVER";

fn command(folder: &Path, port: u16, tls: bool) -> Result<Command> {
    let shown = |name: &str| folder.join(name).display().to_string();
    let tls = match tls {
        true => format!(
            "tls {{ cert_file: {:?}, key_file: {:?} }}\n",
            shown("chain.pem"),
            shown("key.pem")
        ),
        false => String::new(),
    };
    let settings = format!(
        "listen: \"127.0.0.1:{port}\"\nmax_payload: 8MB\n{tls}\
         jetstream {{ store_dir: {:?}, sync_interval: always, max_file_store: 50GB }}\n",
        shown("data")
    );
    std::fs::write(folder.join("nats.conf"), settings)?;
    let mut command = Command::new(program());
    command.arg("-c").arg(folder.join("nats.conf"));
    Ok(command)
}

pub fn program() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| "nats-server".to_owned())
}

pub struct Nats {
    line: Line,
    number: usize,
    inbox: String,
}

/// A delivered message.
struct Message {
    reply: Option<String>,
    payload: Bytes,
}

impl Nats {
    async fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) -> Result<()> {
        let mut bytes = format!("PUB {subject} {reply} {}\r\n", payload.len()).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.line.write(&bytes).await
    }

    async fn message(&mut self) -> Result<Message> {
        loop {
            let head = self.line.text().await?;
            let words: Vec<_> = head.split(' ').collect();
            match words[0] {
                "MSG" => {
                    let length: usize = words.last().context("a length")?.parse()?;
                    let mut payload = self.line.bytes(length + 2).await?;
                    payload.truncate(length);
                    let reply = (words.len() == 5).then(|| words[3].to_owned());
                    return Ok(Message {
                        reply,
                        payload: payload.into(),
                    });
                }
                "PING" => self.line.write(b"PONG\r\n").await?,
                "-ERR" => anyhow::bail!("NATS says {head}"),
                _ => {}
            }
        }
    }

    async fn ask(&mut self, subject: &str, question: &Value) -> Result<Value> {
        let inbox = self.inbox.clone();
        self.publish(subject, &inbox, question.to_string().as_bytes())
            .await?;
        let answer: Value = serde_json::from_slice(&self.message().await?.payload)?;
        ensure!(answer["error"].is_null(), "NATS says {answer}");
        Ok(answer)
    }
}

impl Driver for Nats {
    async fn prepare(target: &Target) -> Result<()> {
        let mut nats = Self::connect(target, usize::MAX).await?;
        let stream =
            json!({ "name": "LOG", "subjects": ["log.>"], "storage": "file", "num_replicas": 1 });
        nats.ask("$JS.API.STREAM.CREATE.LOG", &stream)
            .await
            .map(drop)
    }

    async fn connect(target: &Target, number: usize) -> Result<Self> {
        let mut line = Line::connect(target.address, None).await?;
        // INFO is in plain text; TLS starts after it.
        line.text().await?;
        if let Some(config) = &target.tls {
            line = line.upgrade(config).await?;
        }
        let inbox = format!("_INBOX.{number}");
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\"}}\r\n\
             SUB {inbox} 1\r\nPING\r\n"
        );
        line.write(hello.as_bytes()).await?;
        while line.text().await? != "PONG" {}
        Ok(Self {
            line,
            number,
            inbox,
        })
    }

    async fn push(&mut self, payload: &Bytes) -> Result<()> {
        let (subject, inbox) = (format!("log.{}", self.number), self.inbox.clone());
        self.publish(&subject, &inbox, payload).await?;
        let answer = self.message().await?.payload;
        ensure!(
            answer.windows(6).any(|part| part == b"\"seq\":"),
            "NATS says {answer:?}"
        );
        Ok(())
    }

    async fn listen(&mut self, target: &Target, number: usize) -> Result<Self> {
        let mut this = Self::connect(target, number + 1_000_000).await?;
        let to = format!("deliver.{number}");
        let consumer = json!({ "stream_name": "LOG", "config": {
            "deliver_subject": to, "filter_subject": format!("log.{number}"), "deliver_policy": "new",
            "ack_policy": "explicit", "max_ack_pending": 10_000,
        }});
        this.line
            .write(format!("SUB {to} 2\r\n").as_bytes())
            .await?;
        this.ask("$JS.API.CONSUMER.CREATE.LOG", &consumer).await?;
        Ok(this)
    }

    async fn receive(&mut self) -> Result<Vec<Bytes>> {
        let message = self.message().await?;
        if let Some(reply) = message.reply {
            self.line
                .write(format!("PUB {reply} 4\r\n+ACK\r\n").as_bytes())
                .await?;
        }
        Ok(vec![message.payload])
    }
}
