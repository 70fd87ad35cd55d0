//! Redis streams, over RESP 2: `XADD`, answered after the append-only file is synced.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;

use super::Peer;
use crate::driver::{Driver, Target};
use crate::line::Line;

pub const PEER: Peer = Peer {
    name: "Redis streams",
    package: "redis-server",
    settings: "appendonly yes, appendfsync always, save \"\"",
    promise: "the append-only file was written and fdatasync'd: on disk",
    command,
};

fn command(folder: &Path, port: u16, tls: bool) -> Result<Command> {
    let mut command = Command::new("redis-server");
    let mut set = |name: &str, value: &str| {
        command.args([format!("--{name}"), value.to_owned()]);
    };
    let port = port.to_string();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    if tls {
        set("port", "0");
        set("tls-port", &port);
        set("tls-cert-file", &chain.display().to_string());
        set("tls-key-file", &key.display().to_string());
        set("tls-ca-cert-file", &chain.display().to_string());
        set("tls-auth-clients", "no");
        set("tls-protocols", "TLSv1.3");
    } else {
        set("port", &port);
    }
    set("bind", "127.0.0.1");
    set("dir", &folder.join("data").display().to_string());
    set("appendonly", "yes");
    set("appendfsync", "always");
    set("save", "");
    set("maxclients", "15000");
    set("loglevel", "warning");
    Ok(command)
}

pub struct Redis {
    line: Line,
    stream: String,
    /// Id of the last received entry.
    last: String,
}

/// Arguments as Redis reads them.
fn words(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Redis {
    /// A bulk string.
    async fn bulk(&mut self) -> Result<Vec<u8>> {
        let head = self.line.text().await?;
        let Some(length) = head.strip_prefix('$') else {
            bail!("Redis says {head}")
        };
        let mut bytes = self.line.bytes(length.parse::<usize>()? + 2).await?;
        bytes.truncate(bytes.len() - 2);
        Ok(bytes)
    }

    async fn head(&mut self) -> Result<()> {
        let head = self.line.text().await?;
        ensure!(head.starts_with('*'), "Redis says {head}");
        Ok(())
    }

    async fn ask_for_more(&mut self) -> Result<()> {
        let ask = words(&[
            b"XREAD",
            b"BLOCK",
            b"0",
            b"STREAMS",
            self.stream.as_bytes(),
            self.last.as_bytes(),
        ]);
        self.line.write(&ask).await
    }
}

impl Driver for Redis {
    async fn connect(target: &Target, number: usize) -> Result<Self> {
        let line = Line::connect(target.address, target.tls.as_ref()).await?;
        let mut this = Self {
            line,
            stream: format!("log:{number}"),
            last: "$".to_owned(),
        };
        // The handshake ends with the answer.
        this.line.write(&words(&[b"PING"])).await?;
        let pong = this.line.text().await?;
        ensure!(pong == "+PONG", "Redis says {pong}");
        Ok(this)
    }

    async fn push(&mut self, payload: &Bytes) -> Result<()> {
        let add = words(&[b"XADD", self.stream.as_bytes(), b"*", b"p", payload]);
        self.line.write(&add).await?;
        self.bulk().await.map(drop)
    }

    async fn listen(&mut self, target: &Target, number: usize) -> Result<Self> {
        let mut this = Self::connect(target, number).await?;
        // "$" would miss entries between two reads, so this starts at the empty beginning.
        this.last = "0".to_owned();
        this.ask_for_more().await?;
        Ok(this)
    }

    async fn receive(&mut self) -> Result<Vec<Bytes>> {
        // One stream: its name and its entries, each an id with a field and its value.
        self.head().await?;
        self.head().await?;
        self.bulk().await?;
        let entries = self.line.text().await?;
        let mut payloads = Vec::new();
        for _ in 0..entries.trim_start_matches('*').parse::<usize>()? {
            self.head().await?;
            self.last = String::from_utf8(self.bulk().await?)?;
            self.head().await?;
            self.bulk().await?;
            payloads.push(self.bulk().await?.into());
        }
        self.ask_for_more().await?;
        Ok(payloads)
    }
}
