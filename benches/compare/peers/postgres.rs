//! PostgreSQL, over its wire protocol version 3: one prepared `INSERT` for each push, in its own transaction.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::Peer;
use crate::driver::{Driver, Target};
use crate::line::Line;

pub const PEER: Peer = Peer {
    name: "PostgreSQL",
    package: "postgresql",
    settings: "synchronous_commit on, fsync on, one INSERT in a transaction, max_connections 1100",
    promise: "the write-ahead log was written and fdatasync'd: on disk",
    command,
};

/// User of the server if this process is root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// The newest installed version.
pub fn programs() -> Result<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let mut found: Vec<_> = found
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.pop().context("PostgreSQL is not installed")
}

/// Runs a program as this user, by exec.
fn as_user(program: PathBuf) -> Command {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--init-groups",
        ])
        .arg(program);
    command
}

fn command(folder: &Path, port: u16, _tls: bool) -> Result<Command> {
    let data = folder.join("data");
    if !data.join("PG_VERSION").exists() {
        // The server's user needs access to it.
        let _ = Command::new("chown").arg(USER).arg(&data).status();
        for path in data
            .ancestors()
            .skip(1)
            .take_while(|path| *path != Path::new("/"))
        {
            let _ = Command::new("chmod").arg("o+x").arg(path).status();
        }
        let made = as_user(programs()?.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", USER])
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
    let mut command = as_user(programs()?.join("postgres"));
    command.arg("-D").arg(data);
    for setting in [
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "max_connections=1100",
        "synchronous_commit=on",
        "fsync=on",
        "unix_socket_directories=",
        "log_min_messages=fatal",
    ] {
        command.args(["-c", setting]);
    }
    Ok(command)
}

pub struct Postgres {
    line: Line,
    number: usize,
}

/// One message: type, length, body.
fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

const SYNC: &[u8] = b"S\0\0\0\x04";
const INSERT: &[u8] = b"INSERT INTO log (account, payload) VALUES ($1, $2)\0";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS log (seq bigserial PRIMARY KEY, account int4, payload bytea)";
const OID_INT4: u32 = 23;
const OID_BYTEA: u32 = 17;

impl Postgres {
    async fn open(target: &Target, number: usize) -> Result<Self> {
        let line = Line::connect(target.address, None).await?;
        let mut this = Self { line, number };
        let body = [
            &196_608_u32.to_be_bytes()[..],
            b"user\0postgres\0database\0postgres\0\0",
        ]
        .concat();
        let length = u32::try_from(body.len() + 4)?.to_be_bytes();
        this.line.write(&[&length[..], &body].concat()).await?;
        this.until_ready().await?;
        Ok(this)
    }

    async fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        let head = self.line.bytes(5).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let body = self
            .line
            .bytes(usize::try_from(length)?.saturating_sub(4))
            .await?;
        if head[0] == b'E' {
            bail!("PostgreSQL says {}", String::from_utf8_lossy(&body));
        }
        Ok((head[0], body))
    }

    /// The last column of each received row.
    async fn until_ready(&mut self) -> Result<Vec<Bytes>> {
        let mut rows = Vec::new();
        loop {
            match self.next().await? {
                (b'Z', _) => return Ok(rows),
                (b'D', body) => rows.push(Bytes::copy_from_slice(&body[6..])),
                _ => {}
            }
        }
    }

    async fn query(&mut self, text: &str) -> Result<Vec<Bytes>> {
        self.line
            .write(&message(b'Q', &[text.as_bytes(), b"\0"]))
            .await?;
        self.until_ready().await
    }
}

impl Driver for Postgres {
    async fn prepare(target: &Target) -> Result<()> {
        let mut this = Self::open(target, 0).await?;
        this.query(TABLE).await?;
        // Notifies listeners in the same transaction.
        this.query(
            "CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_notify(''log'' || NEW.account, NEW.seq::text); RETURN NEW; END'",
        )
        .await
        .map(drop)
    }

    async fn connect(target: &Target, number: usize) -> Result<Self> {
        let mut this = Self::open(target, number).await?;
        this.query(TABLE).await.ok();
        let types = [
            &2_u16.to_be_bytes()[..],
            &OID_INT4.to_be_bytes(),
            &OID_BYTEA.to_be_bytes(),
        ]
        .concat();
        let parse = message(b'P', &[b"p\0", INSERT, &types]);
        this.line.write(&[&parse[..], SYNC].concat()).await?;
        this.until_ready().await?;
        Ok(this)
    }

    async fn push(&mut self, payload: &Bytes) -> Result<()> {
        let account = i32::try_from(self.number)?.to_be_bytes();
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let bind = message(
            b'B',
            &[
                b"\0p\0",
                &[0, 1, 0, 1], // all parameters binary
                &[0, 2, 0, 0, 0, 4],
                &account,
                &length,
                payload,
                &[0, 0],
            ],
        );
        let execute = message(b'E', &[b"\0", &[0; 4]]);
        self.line
            .write(&[&bind[..], &execute, SYNC].concat())
            .await?;
        self.until_ready().await.map(drop)
    }

    async fn listen(&mut self, target: &Target, number: usize) -> Result<Self> {
        self.query(
            "DO 'BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = ''told'') THEN \
             CREATE TRIGGER told AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION tell(); END IF; END'",
        )
        .await?;
        let mut this = Self::open(target, number).await?;
        this.query(&format!("LISTEN log{number}")).await?;
        Ok(this)
    }

    async fn receive(&mut self) -> Result<Vec<Bytes>> {
        loop {
            let (kind, body) = self.next().await?;
            if kind != b'A' {
                continue;
            }
            // Process, channel, payload.
            let seq = body[4..].split(|byte| *byte == 0).nth(1).context("a seq")?;
            let seq = std::str::from_utf8(seq)?;
            let select = format!("SELECT encode(payload, 'hex') FROM log WHERE seq = {seq}");
            // Notices of further rows may arrive in between.
            self.line
                .write(&message(b'Q', &[select.as_bytes(), b"\0"]))
                .await?;
            let mut more = Vec::new();
            let mut rows = Vec::new();
            loop {
                match self.next().await? {
                    (b'Z', _) => break,
                    (b'D', body) => rows.push(data_encoding::HEXLOWER.decode(&body[6..])?.into()),
                    (b'A', body) => more.push(body),
                    _ => {}
                }
            }
            for body in more {
                let seq = body[4..].split(|byte| *byte == 0).nth(1).context("a seq")?;
                let seq = std::str::from_utf8(seq)?;
                let found = self
                    .query(&format!(
                        "SELECT encode(payload, 'hex') FROM log WHERE seq = {seq}"
                    ))
                    .await?;
                for hex in found {
                    rows.push(data_encoding::HEXLOWER.decode(&hex)?.into());
                }
            }
            return Ok(rows);
        }
    }
}
