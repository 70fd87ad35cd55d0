//! What `serve` says first: where it is, where it keeps things, and how to begin.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use graceful_server::admin::ServerInfo;
use graceful_server::config::{Config, TlsMode};
use graceful_server::http::tls::Tls;
use graceful_server::relay::Registration;

/// Left out of an address.
const TLS_PORT: u16 = 443;

pub(super) fn text(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, config, address, tls);
    text
}

/// The same for programs, which may have asked for any free port.
pub(super) fn json(
    config: &Config,
    address: SocketAddr,
    tls: Option<&Tls>,
    metrics: Option<SocketAddr>,
) -> serde_json::Value {
    serde_json::json!({
        "listening": address,
        "url": url(config, address, tls),
        "data": config.folder,
        "metrics": metrics,
    })
}

/// The same for the operator's socket.
pub(super) fn about(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> ServerInfo {
    ServerInfo {
        folder: config.folder.clone(),
        listening: address.to_string(),
        url: url(config, address, tls),
        connections_max: config.connections_max as u64,
    }
}

fn write(
    text: &mut String,
    config: &Config,
    address: SocketAddr,
    tls: Option<&Tls>,
) -> std::fmt::Result {
    let url = url(config, address, tls);
    writeln!(text, "graceful-relay {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(text, "  listening on  {address}, devices dial {url}")?;
    writeln!(text, "  data folder   {}", config.folder.display())?;
    match &config.files.main {
        Some(file) => writeln!(text, "  settings      {}", file.display())?,
        None => writeln!(
            text,
            "  settings      defaults (config.example.toml lists all)"
        )?,
    }
    writeln!(text, "  TLS           {}", spoken_by(config.tls_mode))?;
    writeln!(
        text,
        "  registration  {}",
        registration(config.registration)
    )?;
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
    writeln!(
        text,
        "  graceful-relay client init --relay {}{invite}",
        quoted(&url)
    )?;
    writeln!(
        text,
        "and to add the next one, from that device:\n  graceful-relay client pair\n"
    )
}

fn registration(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open: anyone who finds this relay may use it",
        Registration::Invite => "by invitation",
        Registration::Closed => "closed: only accounts that exist already",
    }
}

fn spoken_by(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Off => "off: only for this machine",
        TlsMode::Proxy => "spoken by a proxy in front, which has to be trusted",
        TlsMode::SelfSigned => "its own certificate; devices know the relay by the key behind #",
        TlsMode::Files => "a certificate from files",
        TlsMode::Acme => "a certificate that it orders and renews itself",
    }
}

/// What devices dial: a name where there is one, else the address, which for "any" is this machine.
/// A relay that made its own certificate is dialled with its key.
fn url(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> String {
    let dialled = SocketAddr::new(reachable(address.ip()), address.port());
    let name = config.names.first().map(|name| bracketed(name));
    let Some(tls) = tls else {
        return match (name, config.tls_mode) {
            (Some(name), TlsMode::Proxy) => format!("wss://{name}"),
            _ => format!("ws://{dialled}"),
        };
    };
    let own_address = config.tls_mode == TlsMode::SelfSigned && !address.ip().is_unspecified();
    let own_name = (!own_address)
        .then(|| tls.names().into_iter().next())
        .flatten();
    let name = name.or_else(|| own_name.map(|name| bracketed(&name)));
    let name = name.unwrap_or_else(|| bracketed(&dialled.ip().to_string()));
    let port = if address.port() == TLS_PORT {
        String::new()
    } else {
        format!(":{}", address.port())
    };
    let key = tls.key().map(|key| format!("#{key}")).unwrap_or_default();
    format!("wss://{name}{port}{key}")
}

fn bracketed(name: &str) -> String {
    if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
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
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_server::config::{Flags, Sources, Surroundings, load};

    fn said(settings: &[(&str, &str)]) -> String {
        let environment = settings
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let surroundings = Surroundings {
            home: Some("/home/ann b".into()),
            ..Surroundings::default()
        };
        let config = load(&Sources {
            environment,
            surroundings,
            flags: Flags::default(),
            file: None,
        });
        text(
            &config.expect("good settings"),
            "127.0.0.1:8080".parse().expect("an address"),
            None,
        )
    }

    #[test]
    fn the_first_steps_can_be_copied() {
        let said = said(&[]);
        assert!(
            said.contains(
                "graceful-relay invite --data '/home/ann b/.local/share/graceful-relay'\n"
            ),
            "{said}"
        );
        assert!(
            said.contains("client init --relay ws://127.0.0.1:8080 --invite <INVITATION>\n"),
            "{said}"
        );
    }

    #[test]
    fn behind_a_proxy_the_name_is_dialled() {
        let said = said(&[
            ("GRACEFUL_RELAY_TLS__MODE", "proxy"),
            ("GRACEFUL_RELAY_SERVER__NAMES", "relay.example.org"),
            ("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open"),
        ]);
        assert!(
            said.contains("client init --relay wss://relay.example.org\n"),
            "{said}"
        );
        assert!(!said.contains("graceful-relay invite"), "{said}");
    }

    #[test]
    fn a_closed_relay_invites_nobody() {
        assert!(
            !said(&[("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "closed")]).contains("client init")
        );
    }
}
