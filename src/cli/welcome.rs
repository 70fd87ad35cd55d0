//! What `serve` says first: where it is, where it keeps things, and how to begin.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use crate::relay::Registration;

pub(super) fn text(config: &Config, address: SocketAddr) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, config, address);
    text
}

/// The same for programs, which may have asked for any free port.
pub(super) fn json(config: &Config, address: SocketAddr) -> serde_json::Value {
    serde_json::json!({
        "listening": address,
        "url": url(config, address),
        "data": config.folder,
    })
}

fn write(text: &mut String, config: &Config, address: SocketAddr) -> std::fmt::Result {
    let url = url(config, address);
    writeln!(text, "graceful-relay {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(text, "  listening on  {address}, devices dial {url}")?;
    writeln!(text, "  data folder   {}", config.folder.display())?;
    match &config.file {
        Some(file) => writeln!(text, "  settings      {}", file.display())?,
        None => writeln!(text, "  settings      defaults (config.example.toml lists all)")?,
    }
    writeln!(text, "  registration  {}", registration(config.registration))?;
    if config.registration == Registration::Closed {
        return Ok(());
    }
    writeln!(text, "\nTo set up a first device, in another terminal:")?;
    let invite = if config.registration == Registration::Invite {
        let folder = config.folder.display().to_string();
        writeln!(text, "  graceful-relay invite --data {}", quoted(&folder))?;
        " --invite <INVITATION>"
    } else {
        ""
    };
    writeln!(text, "  graceful-relay client create --relay {url}{invite}")?;
    writeln!(text, "and to add the next one, from that device:\n  graceful-relay client pair\n")
}

fn registration(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open: anyone who finds this relay may use it",
        Registration::Invite => "by invitation",
        Registration::Closed => "closed: only accounts that exist already",
    }
}

/// What devices dial: the name behind a proxy, else the address, which for "any" is this machine.
fn url(config: &Config, address: SocketAddr) -> String {
    match (config.names.first(), config.proxy) {
        (Some(name), true) if name.contains(':') => format!("wss://[{name}]"),
        (Some(name), true) => format!("wss://{name}"),
        _ => format!("ws://{}", SocketAddr::new(reachable(address.ip()), address.port())),
    }
}

fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%:,".contains(letter);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Sources, Surroundings, load};

    fn said(settings: &[(&str, &str)]) -> String {
        let environment = settings.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let surroundings = Surroundings { home: Some("/home/ann b".into()), ..Surroundings::default() };
        let config = load(&Sources { environment, surroundings, flags: Flags::default(), file: None });
        text(&config.expect("good settings"), "127.0.0.1:8080".parse().expect("an address"))
    }

    #[test]
    fn the_first_steps_can_be_copied() {
        let said = said(&[]);
        assert!(
            said.contains("graceful-relay invite --data '/home/ann b/.local/share/graceful-relay'\n"),
            "{said}"
        );
        assert!(said.contains("client create --relay ws://127.0.0.1:8080 --invite <INVITATION>\n"), "{said}");
    }

    #[test]
    fn behind_a_proxy_the_name_is_dialled() {
        let said = said(&[
            ("GRACEFUL_RELAY_SERVER__PROXY", "true"),
            ("GRACEFUL_RELAY_SERVER__NAMES", "relay.example.org"),
            ("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open"),
        ]);
        assert!(said.contains("client create --relay wss://relay.example.org\n"), "{said}");
        assert!(!said.contains("graceful-relay invite"), "{said}");
    }

    #[test]
    fn a_closed_relay_invites_nobody() {
        assert!(!said(&[("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "closed")]).contains("client create"));
    }
}
