//! The support bundle: findings, configuration, status and system, without names, addresses, accounts and keys.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::redact::Redactor;
use super::{Examined, page};

/// Options whose values are always private.
const PRIVATE_KEYS: [&str; 12] = [
    "listen",
    "domains",
    "region",
    "trusted_proxies",
    "allowed_origins",
    "certificate",
    "key",
    "http_listen",
    "email",
    "data_dir",
    "dir",
    "file",
];

/// Suffixes of further private options.
const PRIVATE_ENDINGS: [&str; 6] = ["_file", "_token", "_secret", "_key", "_password", "_url"];

pub(super) fn write(path: &Path, examined: &Examined) -> io::Result<()> {
    let redactor = Redactor::new(private(examined));
    let findings = console::strip_ansi_codes(&page::page(&examined.findings)).into_owned();
    let mut files = vec![
        ("README.txt", README.to_owned()),
        ("doctor.txt", findings),
        (
            "doctor.json",
            serde_json::to_string_pretty(&examined.findings)?,
        ),
        ("system.txt", system()),
    ];
    if let Some(config) = &examined.config {
        files.push(("config.toml", without_private_values(&config.to_toml())));
    }
    if let Some(status) = &examined.status {
        let mut status = status.clone();
        (status.relay_id, status.url, status.listening) = (None, None, None);
        if let Some(tls) = &mut status.tls {
            tls.relay_key = None;
        }
        if let Some(backup) = &mut status.last_backup {
            backup.file = "<file>".to_owned();
        }
        files.push(("status.json", serde_json::to_string_pretty(&status)?));
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    pack(options.open(path)?, &files, &redactor)
}

fn pack(file: File, files: &[(&str, String)], redactor: &Redactor) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in files {
        let text = redactor.redact(text);
        // Without user and time.
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        archive.append_data(
            &mut header,
            format!("graceful-relay-support/{name}"),
            text.as_bytes(),
        )?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

const README: &str = "Written by `graceful-relay doctor --bundle`, without names, addresses, accounts, keys and \
                      directories.\nRead it before you share it.\n";

/// Known names and directories to redact.
fn private(examined: &Examined) -> Vec<(String, &'static str)> {
    let mut private = Vec::new();
    if let Some(config) = &examined.config {
        private.extend(config.domains.iter().map(|name| (name.clone(), "<name>")));
        private.push((config.data_dir.display().to_string(), "<data directory>"));
        private.extend(
            config
                .files
                .main
                .iter()
                .chain(&config.files.parts)
                .map(|file| (file.display().to_string(), "<configuration>")),
        );
    }
    if let Some(status) = &examined.status {
        let host = status
            .url
            .as_deref()
            .and_then(|url| url.split("://").nth(1));
        let host = host.and_then(|rest| rest.split(['/', '#', ':']).next());
        private.extend(host.map(|host| (host.to_owned(), "<name>")));
        let file = status
            .last_backup
            .as_ref()
            .map(|backup| (backup.file.clone(), "<file>"));
        private.extend(file);
    }
    for (variable, instead) in [
        ("HOME", "<home>"),
        ("HOSTNAME", "<host>"),
        ("USER", "<user>"),
    ] {
        private.extend(
            std::env::var(variable)
                .ok()
                .filter(|value| value.len() > 3)
                .map(|value| (value, instead)),
        );
    }
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").map(|host| host.trim().to_owned());
    private.extend(
        host.ok()
            .filter(|host| host.len() > 3)
            .map(|host| (host, "<host>")),
    );
    private
}

/// The configuration without private values.
fn without_private_values(toml: &str) -> String {
    let mut text = String::new();
    for line in toml.lines() {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        let is_private = |key: &str| {
            PRIVATE_KEYS.contains(&key)
                || PRIVATE_ENDINGS.iter().any(|ending| key.ends_with(ending))
        };
        match key.filter(|key| is_private(key)) {
            // Whether a value is set is not private.
            Some(key)
                if line.trim_end().ends_with("= \"\"") || line.trim_end().ends_with("= []") =>
            {
                text += &format!("{key} = (empty)\n");
            }
            Some(key) => text += &format!("{key} = (redacted)\n"),
            None => text += &format!("{line}\n"),
        }
    }
    text
}

/// The system, without the host name.
fn system() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().unwrap_or("unknown");
    let (version, kernel) = (
        env!("CARGO_PKG_VERSION"),
        read("/proc/sys/kernel/osrelease"),
    );
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "graceful-relay {version}\n{} on {}, kernel {}\n{name}\n{processors} processors, {memory}\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_settings_keep_their_names_only() {
        let toml = "[server]\nlisten = \"192.0.2.1:443\"\ndomains = [\"a.example\"]\nproxy_protocol = \"off\"\n\
                    [acme]\nemail = \"\"\nadmin_token = \"x\"\n";
        let text = without_private_values(toml);
        assert_eq!(
            text,
            "[server]\nlisten = (redacted)\ndomains = (redacted)\nproxy_protocol = \"off\"\n[acme]\nemail = (empty)\n\
             admin_token = (redacted)\n"
        );
    }
}
