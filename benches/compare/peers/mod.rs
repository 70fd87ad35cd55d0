//! The other servers: one file for each, with its start and its driver.

pub mod mqtt;
pub mod nats;
pub mod postgres;
pub mod redis;
pub mod relay;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

/// Another message store.
pub struct Peer {
    pub name: &'static str,
    /// Debian package.
    pub package: &'static str,
    pub settings: &'static str,
    /// Guarantee of its acknowledgement.
    pub promise: &'static str,
    /// Starts it on `folder/data` and this port, with or without TLS.
    pub command: fn(folder: &Path, port: u16, tls: bool) -> Result<Command>,
}

/// The measured servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Relay,
    Redis,
    Nats,
    Mosquitto,
    Postgres,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Relay,
        Self::Redis,
        Self::Nats,
        Self::Mosquitto,
        Self::Postgres,
    ];

    /// Name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
            Self::Postgres => "postgresql",
        }
    }

    pub fn peer(self) -> Option<&'static Peer> {
        match self {
            Self::Relay => None,
            Self::Redis => Some(&redis::PEER),
            Self::Nats => Some(&nats::PEER),
            Self::Mosquitto => Some(&mqtt::PEER),
            Self::Postgres => Some(&postgres::PEER),
        }
    }

    pub fn name(self) -> &'static str {
        self.peer().map_or("Graceful Relay", |peer| peer.name)
    }

    /// Version that the program reports.
    pub fn version(self) -> String {
        let (program, flag) = match self {
            Self::Relay => return env!("CARGO_PKG_VERSION").to_owned(),
            Self::Redis => ("redis-server".to_owned(), "--version"),
            Self::Nats => (nats::program(), "--version"),
            Self::Mosquitto => ("/usr/sbin/mosquitto".to_owned(), "-h"),
            Self::Postgres => {
                let programs = postgres::programs().unwrap_or_default();
                (programs.join("postgres").display().to_string(), "--version")
            }
        };
        let said = Command::new(program).arg(flag).output();
        let said = said
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        let words = said
            .split_whitespace()
            .map(|word| word.trim_start_matches("v=").trim_start_matches('v'));
        let mut numbers =
            words.filter(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        numbers.next().unwrap_or("not installed").to_owned()
    }
}

/// Calls a generic function with the driver of this server.
#[macro_export]
macro_rules! with_driver {
    ($kind:expr, $call:ident :: < _ > ( $($argument:expr),* )) => {
        match $kind {
            $crate::peers::Kind::Relay => $call::<$crate::peers::relay::Relay>($($argument),*).await,
            $crate::peers::Kind::Redis => $call::<$crate::peers::redis::Redis>($($argument),*).await,
            $crate::peers::Kind::Nats => $call::<$crate::peers::nats::Nats>($($argument),*).await,
            $crate::peers::Kind::Mosquitto => $call::<$crate::peers::mqtt::Mqtt>($($argument),*).await,
            $crate::peers::Kind::Postgres => $call::<$crate::peers::postgres::Postgres>($($argument),*).await,
        }
    };
}
