//! Mosquitto, over MQTT 3.1.1 (OASIS, 2014): a publish with QoS 1, answered by PUBACK.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::Peer;
use crate::driver::{Driver, Target};
use crate::line::Line;

pub const PEER: Peer = Peer {
    name: "Mosquitto",
    package: "mosquitto",
    settings: "QoS 1, persistence true, autosave_on_changes true, autosave_interval 1, a durable subscriber",
    promise: "the broker has it in memory; the file of all messages is written anew after changes, not before the answer",
    command,
};

const CONNECT: u8 = 0x10;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const QOS_1: u8 = 0x02;
const CLEAN: u8 = 0x02;

fn command(folder: &Path, port: u16, tls: bool) -> Result<Command> {
    let shown = |name: &str| folder.join(name).display().to_string();
    let tls = match tls {
        true => {
            format!(
                "certfile {}\nkeyfile {}\ntls_version tlsv1.3\n",
                shown("chain.pem"),
                shown("key.pem")
            )
        }
        false => String::new(),
    };
    // It would drop root privileges, and lose access to its directory.
    let settings = format!(
        "user root\nallow_anonymous true\npersistence true\npersistence_location {}/\nautosave_interval 1\n\
         autosave_on_changes true\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\n\
         set_tcp_nodelay true\nlog_type error\nlistener {port} 127.0.0.1\n{tls}",
        shown("data")
    );
    std::fs::write(folder.join("mosquitto.conf"), settings)?;
    let mut command = Command::new(if Path::new("/usr/sbin/mosquitto").exists() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    });
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    Ok(command)
}

pub struct Mqtt {
    line: Line,
    topic: String,
    packet: u16,
}

fn text(text: &str) -> Vec<u8> {
    [
        &u16::try_from(text.len()).unwrap_or(0).to_be_bytes(),
        text.as_bytes(),
    ]
    .concat()
}

/// Fixed header (section 2.2) and body.
fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![kind];
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

impl Mqtt {
    async fn open(target: &Target, name: &str, flags: u8, topic: String) -> Result<Self> {
        let mut line = Line::connect(target.address, target.tls.as_ref()).await?;
        let hello = [
            &text("MQTT")[..],
            &[4, flags],
            &600_u16.to_be_bytes(),
            &text(name),
        ];
        line.write(&packet(CONNECT, &hello)).await?;
        let mut this = Self {
            line,
            topic,
            packet: 0,
        };
        let (_, answer) = this.next().await?;
        ensure!(answer.get(1) == Some(&0), "Mosquitto refuses: {answer:?}");
        Ok(this)
    }

    /// Packet type with flags, and body.
    async fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        let kind = self.line.bytes(1).await?[0];
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let digit = self.line.bytes(1).await?[0];
            length |= usize::from(digit & 0x7f) << shift;
            shift += 7;
            if digit & 0x80 == 0 {
                break;
            }
        }
        Ok((kind, self.line.bytes(length).await?))
    }

    async fn subscribe(&mut self, topic: &str) -> Result<()> {
        let ask = packet(SUBSCRIBE, &[&1_u16.to_be_bytes(), &text(topic), &[1]]);
        self.line.write(&ask).await?;
        loop {
            // A delivery may precede the answer.
            let (kind, answer) = self.next().await?;
            if kind == SUBACK {
                ensure!(
                    answer.get(2) == Some(&1),
                    "Mosquitto does not subscribe: {answer:?}"
                );
                return Ok(());
            }
        }
    }
}

impl Driver for Mqtt {
    /// An absent subscriber with a durable session.
    async fn prepare(target: &Target) -> Result<()> {
        Self::open(target, "keeper", 0, String::new())
            .await?
            .subscribe("log/#")
            .await
    }

    async fn connect(target: &Target, number: usize) -> Result<Self> {
        Self::open(
            target,
            &format!("p{number}"),
            CLEAN,
            format!("log/{number}"),
        )
        .await
    }

    async fn push(&mut self, payload: &Bytes) -> Result<()> {
        self.packet = self.packet.wrapping_add(1).max(1);
        let id = self.packet.to_be_bytes();
        self.line
            .write(&packet(
                PUBLISH | QOS_1,
                &[&text(&self.topic), &id, payload],
            ))
            .await?;
        let (kind, answer) = self.next().await?;
        ensure!(
            kind == PUBACK && answer[..2] == id,
            "Mosquitto answers {kind:x} {answer:?}"
        );
        Ok(())
    }

    async fn listen(&mut self, target: &Target, number: usize) -> Result<Self> {
        let topic = format!("log/{number}");
        let mut this = Self::open(target, &format!("l{number}"), CLEAN, topic.clone()).await?;
        this.subscribe(&topic).await?;
        Ok(this)
    }

    async fn receive(&mut self) -> Result<Vec<Bytes>> {
        let (_, body) = self.next().await?;
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let id = &body[2 + topic..4 + topic];
        self.line.write(&packet(PUBACK, &[id])).await?;
        Ok(vec![Bytes::copy_from_slice(&body[4 + topic..])])
    }
}
