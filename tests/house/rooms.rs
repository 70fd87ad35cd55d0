//! Who may know whom.

use super::source::{Source, line, words};

/// A room and those above it that it may use.
pub struct Room {
    pub name: &'static str,
    pub uses: &'static [&'static str],
}

const fn room(name: &'static str, uses: &'static [&'static str]) -> Room {
    Room { name, uses }
}

/// The rooms, from top to bottom.
pub const ROOMS: &[Room] = &[
    room("protocol", &[]),
    room("rules", &["protocol"]),
    room("store", &["protocol", "rules"]),
    room("relay", &["protocol", "rules", "store"]),
    room("http", &["protocol", "rules", "store", "relay"]),
    room("admin", &["protocol", "rules", "store", "relay", "http"]),
    // The other end: whatever the relay's rooms know is none of its business.
    room("client", &["protocol"]),
    // Settings become the options of the rooms that they are for.
    room("config", &["protocol", "rules", "store", "relay", "http"]),
    room(
        "cli",
        &[
            "protocol", "rules", "store", "relay", "http", "admin", "client", "config",
        ],
    ),
    room("main", &["cli"]),
    room("lib", &[]),
];

/// Each dependency and the rooms that may name it. Empty: any room.
pub const CRATES: &[(&str, &[&str])] = &[
    ("aes-gcm", &["client"]),
    ("anyhow", &["cli", "main"]),
    ("bip39", &["client"]),
    ("async-trait", &["http"]),
    ("bytes", &[]),
    ("aws-lc-rs", &["store"]),
    ("chacha20", &["store"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("daemonix", &["cli"]),
    ("data-encoding", &[]),
    ("ed25519-dalek", &["protocol", "admin", "client"]),
    ("flate2", &["cli"]),
    ("fs4", &["store", "admin"]),
    ("futures-util", &["relay", "http", "admin", "client"]),
    ("getrandom", &["store", "relay", "admin", "client", "cli"]),
    ("hdrhistogram", &["cli"]),
    ("hkdf", &["client"]),
    ("hmac", &["relay"]),
    ("hpke", &["client"]),
    ("http-body-util", &["http"]),
    ("hyper", &["http"]),
    ("hyper-util", &["http"]),
    ("console", &["cli"]),
    ("indicatif", &["cli"]),
    ("listenfd", &["cli"]),
    ("mimalloc", &["main"]),
    ("jiff", &["http", "admin", "cli"]),
    ("prometheus-client", &["http"]),
    ("prost", &["protocol", "store", "client"]),
    ("qrcode", &["cli"]),
    ("rcgen", &["http"]),
    ("redb", &["store"]),
    ("rustix", &["store", "admin", "config", "cli"]),
    ("rustls", &["http", "client"]),
    ("rustls-acme", &["http"]),
    ("rustls-native-certs", &["http", "client"]),
    ("sd-notify", &["cli"]),
    ("serde", &[]),
    ("serde_json", &["http", "admin", "client", "cli"]),
    ("sha2", &[]),
    ("subtle", &["http"]),
    ("syslog-tracing", &["cli"]),
    ("tar", &["cli"]),
    ("thiserror", &[]),
    ("tokio", &["relay", "http", "admin", "client", "cli"]),
    ("tokio-rustls", &["http", "client"]),
    ("tokio-tungstenite", &["http", "admin", "client"]),
    ("tokio-util", &["relay", "http", "admin", "client", "cli"]),
    ("toml", &["config"]),
    ("tracing", &[]),
    ("tracing-appender", &["cli"]),
    ("tracing-journald", &["cli"]),
    ("tracing-subscriber", &["cli"]),
    ("warp", &["http"]),
    ("windows-service", &["cli"]),
    ("x509-parser", &["http"]),
    ("zeroize", &["store", "client"]),
];

/// Rooms without clock, chance and disk.
const PURE_ROOMS: &[&str] = &["protocol", "rules"];

/// The client is pure too, but for what begins with one of these: its hands.
const CLIENT_HANDS: &[&str] = &[
    "client/bare.rs",
    "client/begun.rs",
    "client/chance.rs",
    "client/connection.rs",
    "client/dial.rs",
    "client/greet.rs",
    "client/handle.rs",
    "client/journal.rs",
    "client/mod.rs",
    "client/pair.rs",
    "client/profile.rs",
    "client/recover.rs",
    "client/task/",
];

/// What no pure file may name.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "getrandom",
    "OsChance",
    "std::fs",
    "std::env",
    "std::thread",
    "tokio",
];

/// Uses of a room by one that stands above it.
pub fn offences_against_order(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let Some(room) = ROOMS.iter().find(|room| room.name == source.room()) else {
            offences.push(format!("{}: stands in no room", source.path));
            continue;
        };
        for (at, used) in rooms_used(source) {
            let known = ROOMS.iter().any(|room| room.name == used);
            if known && used != room.name && !room.uses.contains(&used) {
                let at = line(&source.code, at);
                offences.push(format!(
                    "{}:{at}: `{}` must not use `{used}`",
                    source.path, room.name
                ));
            }
        }
    }
    offences
}

/// The first names of all paths from the root of the crate, and where they stand.
fn rooms_used(source: &Source) -> Vec<(usize, &str)> {
    let code = &source.code;
    let mut used = Vec::new();
    for root in ["crate", "graceful_relay"] {
        for at in words(code, root) {
            used.extend(heads(code, at + root.len()));
        }
    }
    for at in words(code, "super") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let steps = code[at..].len() - code[at..].trim_start_matches("super::").len();
        if steps / "super::".len() >= source.depth() {
            used.extend(heads(code, at + steps - "::".len()));
        }
    }
    used
}

/// The names that follow `::` here: one, or those of a group in braces.
fn heads(code: &str, at: usize) -> Vec<(usize, &str)> {
    let Some(path) = code[at..].strip_prefix("::") else {
        return Vec::new();
    };
    let start = at + 2;
    if !path.starts_with('{') {
        return vec![(start, word(path))];
    }
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    for (offset, character) in path.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (character == '{' || character == ',') {
            let after = &path[offset + 1..];
            let name = after.trim_start();
            heads.push((start + offset + 1 + after.len() - name.len(), word(name)));
        }
    }
    heads
}

fn word(code: &str) -> &str {
    let end = code.find(|character: char| !character.is_alphanumeric() && character != '_');
    &code[..end.unwrap_or(code.len())]
}

/// Dependencies named outside their rooms.
pub fn offences_against_crates(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        for (name, rooms) in CRATES {
            if rooms.is_empty() || rooms.contains(&source.room()) {
                continue;
            }
            let name = name.replace('-', "_");
            for at in words(&source.code, &name).filter(|at| is_crate(&source.code, *at, &name)) {
                let at = line(&source.code, at);
                offences.push(format!(
                    "{}:{at}: `{name}` belongs in {rooms:?}",
                    source.path
                ));
            }
        }
    }
    offences
}

/// Whether this word begins a path, and is not a name of our own.
fn is_crate(code: &str, at: usize, name: &str) -> bool {
    let before = code[..at].trim_end();
    let after = &code[at + name.len()..];
    let own = before.strip_suffix("::").is_some_and(|path| {
        path.ends_with(|character: char| {
            character.is_alphanumeric() || ['_', '>'].contains(&character)
        })
    });
    let path = after.starts_with("::") && !after.starts_with("::<");
    !own && (path || before.ends_with("use") || before.ends_with("extern crate"))
}

/// Dependencies that have no place on the list, and places without a dependency.
pub fn offences_in_manifest(manifest: &str) -> Vec<String> {
    // Those of one system alone stand in a section of their own.
    let sections = manifest.split("\n[").filter_map(|section| {
        let (name, lines) = section.trim_start_matches('[').split_once("]\n")?;
        let ours = name == "dependencies"
            || name.starts_with("target.") && name.ends_with(".dependencies");
        ours.then_some(lines)
    });
    let dependencies: Vec<_> = sections
        .flat_map(str::lines)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .collect();
    let homeless = dependencies
        .iter()
        .filter(|name| !CRATES.iter().any(|(known, _)| known == *name));
    let homeless = homeless.map(|name| format!("give `{name}` its rooms in tests/house/rooms.rs"));
    let gone = CRATES
        .iter()
        .filter(|(name, _)| !dependencies.contains(name));
    let gone =
        gone.map(|(name, _)| format!("`{name}` is no dependency any more: take it off the list"));
    homeless.chain(gone).collect()
}

/// Clock, chance and disk where only arguments should be.
pub fn offences_against_purity(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let pure_client = source.room() == "client"
            && !CLIENT_HANDS
                .iter()
                .any(|hand| source.path.starts_with(hand));
        if !pure_client && !PURE_ROOMS.contains(&source.room()) {
            continue;
        }
        let code = &source.code_without_tests;
        for name in IMPURE {
            let found = words(code, name);
            offences.extend(
                found.map(|_| format!("{}: names `{name}` and should be pure", source.path)),
            );
        }
    }
    offences
}
