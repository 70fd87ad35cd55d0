//! The startup message of `serve`: addresses, paths, and the next commands.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use graceful_server::admin::ServerInfo;
use graceful_server::config::{Config, TlsMode};
use graceful_server::net::tls::Tls;
use graceful_server::relay::Registration;

/// The port that URLs leave out.
const TLS_PORT: u16 = 443;

pub(super) fn text(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, config, address, tls);
    text
}

/// The same as JSON, for programs that let the system choose a port.
pub(super) fn json(
    config: &Config,
    address: SocketAddr,
    tls: Option<&Tls>,
    metrics: Option<SocketAddr>,
) -> serde_json::Value {
    serde_json::json!({
        "listening": address,
        "url": url(config, address, tls),
        "data_dir": config.data_dir,
        "metrics": metrics,
    })
}

/// The same for the admin socket.
pub(super) fn about(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> ServerInfo {
    ServerInfo {
        folder: config.data_dir.clone(),
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
    writeln!(
        text,
        "  listening on    {address}, devices connect to {url}"
    )?;
    writeln!(text, "  data directory  {}", config.data_dir.display())?;
    match &config.files.main {
        Some(file) => writeln!(text, "  configuration   {}", file.display())?,
        None => writeln!(
            text,
            "  configuration   defaults (config.example.toml lists all)"
        )?,
    }
    writeln!(text, "  TLS             {}", self::tls(config.tls_mode))?;
    writeln!(
        text,
        "  registration    {}",
        registration(config.registration)
    )?;
    if config.registration == Registration::Closed {
        return Ok(());
    }
    writeln!(text, "\nTo add the first device, in another terminal:")?;
    let invite = if config.registration == Registration::Invite {
        let folder = config.data_dir.display().to_string();
        writeln!(
            text,
            "  graceful-relay invite create --data-dir {}",
            quoted(&folder)
        )?;
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
        "\nTo add the next one, on that device:\n  graceful-relay client pair\n"
    )
}

fn registration(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open: anybody may create an account",
        Registration::Invite => "by invitation",
        Registration::Closed => "closed: existing accounts only",
    }
}

fn tls(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Off => "off: this machine only",
        TlsMode::Proxy => "terminated by a reverse proxy",
        TlsMode::SelfSigned => "self-signed; devices check the key after #",
        TlsMode::Manual => "certificate from files",
        TlsMode::Acme => "certificate by ACME, renewed automatically",
    }
}

/// The URL that devices connect to: a domain if there is one, else the address. With a self-signed
/// certificate it contains the key.
fn url(config: &Config, address: SocketAddr, tls: Option<&Tls>) -> String {
    let target = SocketAddr::new(reachable(address.ip()), address.port());
    let name = config.domains.first().map(|name| bracketed(name));
    let Some(tls) = tls else {
        return match (name, config.tls_mode) {
            (Some(name), TlsMode::Proxy) => format!("wss://{name}"),
            _ => format!("ws://{target}"),
        };
    };
    let own_address = config.tls_mode == TlsMode::SelfSigned && !address.ip().is_unspecified();
    let own_name = (!own_address)
        .then(|| tls.names().into_iter().next())
        .flatten();
    let name = name.or_else(|| own_name.map(|name| bracketed(&name)));
    let name = name.unwrap_or_else(|| bracketed(&target.ip().to_string()));
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

/// Quotes a word for a POSIX shell.
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
    use graceful_server::config::{Flags, ProcessEnv, Sources, load};

    fn said(settings: &[(&str, &str)]) -> String {
        let environment = settings
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let env = ProcessEnv {
            home: Some("/home/ann b".into()),
            ..ProcessEnv::default()
        };
        let config = load(&Sources {
            environment,
            env,
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
                "graceful-relay invite create --data-dir '/home/ann b/.local/share/graceful-relay'\n"
            ),
            "{said}"
        );
        assert!(
            said.contains("client init --relay ws://127.0.0.1:8080 --invite <INVITATION>\n"),
            "{said}"
        );
    }

    #[test]
    fn behind_a_proxy_the_name_is_target() {
        let said = said(&[
            ("GRACEFUL_RELAY_TLS__MODE", "proxy"),
            ("GRACEFUL_RELAY_SERVER__DOMAINS", "relay.example.org"),
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
