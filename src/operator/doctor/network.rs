//! Checks of ports, domains, the certificate, and a connection as a device makes it.

use std::net::IpAddr;
use std::time::Duration;

use graceful_client::{ConnectOptions, fetch_greeting};
use graceful_server::admin::StatusReport;
use graceful_server::config::{Config, TlsMode};
use graceful_server::doctor::{Finding, Owner, may_bind, owner_of_port};
use graceful_server::net::tls::{Tls, TlsSetup};

/// Timeout of a DNS lookup.
const LOOKUP_WAIT: Duration = Duration::from_secs(10);

/// Warn about a certificate that expires within these days.
const DAYS_MIN: i64 = 14;

/// The relay's ports, and the programs that listen on them.
pub(super) fn ports(config: &Config, status: Option<&StatusReport>) -> Vec<Finding> {
    let running =
        status.and_then(|status| status.listening.as_ref()?.rsplit_once(':')?.1.parse().ok());
    let main = running.unwrap_or(config.listen.port());
    let ports = [Some(main), config.http_listen.map(|address| address.port())];
    ports
        .into_iter()
        .flatten()
        .map(|port| judge_port(port, owner_of_port(port), may_bind(port), status))
        .collect()
}

fn judge_port(
    port: u16,
    owner: Owner,
    may_bind: Option<bool>,
    status: Option<&StatusReport>,
) -> Finding {
    let check = format!("port {port}");
    match (owner, status) {
        (Owner::Process(id, _), Some(status)) if id == status.process_id => {
            Finding::ok(&check, format!("used by the relay (process {id})"))
        }
        (Owner::Process(id, name), _) => {
            let text = format!(
                "in use by {name} (process {id}), which is not the relay of this data directory"
            );
            Finding::failure(
                &check,
                text,
                "Stop it, or set another port in server.listen.",
            )
        }
        (Owner::Somebody, Some(_)) => Finding::ok(
            &check,
            "in use, probably by the relay; run with sudo to see the program",
        ),
        (Owner::Somebody, None) => {
            let text = "in use, but the relay is not running; run with sudo to see the program";
            Finding::failure(
                &check,
                text,
                "Stop it, or set another port in server.listen.",
            )
        }
        (Owner::Nobody, Some(_)) => {
            let text = "not in use, but the relay is running";
            Finding::failure(
                &check,
                text,
                "If it runs in a container, check there; otherwise restart it.",
            )
        }
        (Owner::Nobody, None) if may_bind == Some(false) => {
            let text = "free, but this user must not listen below port 1024";
            let next = "The service may, with AmbientCapabilities=CAP_NET_BIND_SERVICE.";
            Finding::warning(&check, text, next)
        }
        (Owner::Nobody, None) => Finding::ok(&check, "free"),
        (Owner::Unknown, _) => Finding::ok(&check, "unknown on this system"),
    }
}

/// The addresses of the relay's domains.
pub(super) async fn names(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in config
        .domains
        .iter()
        .filter(|name| name.parse::<IpAddr>().is_err())
    {
        let check = format!("domain {name}");
        let found =
            tokio::time::timeout(LOOKUP_WAIT, tokio::net::lookup_host((name.as_str(), 443))).await;
        let addresses: Vec<IpAddr> = match found {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            _ => Vec::new(),
        };
        let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        findings.push(match addresses.as_slice() {
            [] => {
                let next = "Add a DNS record with this machine's public address.";
                Finding::failure(&check, "has no address", next)
            }
            all if all.iter().all(IpAddr::is_loopback) && name != "localhost" => {
                let text = format!(
                    "resolves to {}, which other machines cannot reach",
                    shown.join(", ")
                );
                Finding::warning(
                    &check,
                    text,
                    "Resolve it on another machine; here it may be in /etc/hosts only.",
                )
            }
            _ => Finding::ok(&check, format!("resolves to {}", shown.join(", "))),
        });
    }
    findings
}

/// The certificate of the running relay, or that in the configured files.
pub(super) fn certificate(config: &Config, status: Option<&StatusReport>) -> Option<Finding> {
    const CHECK: &str = "certificate";
    if let Some((status, tls)) =
        status.and_then(|status| status.tls.as_ref().map(|tls| (status, tls)))
    {
        if let Some(trouble) = &tls.tls_trouble {
            return Some(Finding::failure(CHECK, trouble, "See docs/guide/tls.md."));
        }
        let Some(expires_s) = tls.certificate_expires_s else {
            return Some(Finding::warning(
                CHECK,
                "none yet",
                "See `graceful-relay status`.",
            ));
        };
        let days = (expires_s - status.clock_s).div_euclid(86_400);
        let text = format!("valid for {days} more days");
        return Some(match days {
            ..0 => Finding::failure(CHECK, "expired", "Renew it; see docs/guide/tls.md."),
            0..DAYS_MIN => Finding::warning(CHECK, text, "Renew it; see docs/guide/tls.md."),
            36_500.. => Finding::ok(CHECK, "self-signed, never expires"),
            _ => Finding::ok(CHECK, text),
        });
    }
    match (&config.tls, config.tls_mode) {
        (Some(setup @ TlsSetup::Files { .. }), _) => Some(
            match Tls::prepare(setup.clone(), config.domains.clone(), &config.data_dir) {
                Err(error) => Finding::failure(CHECK, error.to_string(), "See docs/guide/tls.md."),
                Ok(tls) => match tls.status().tls_trouble {
                    Some(trouble) => Finding::failure(CHECK, trouble, "See docs/guide/tls.md."),
                    None => {
                        let until = tls.status().certificate_expires.unwrap_or_default();
                        Finding::ok(
                            CHECK,
                            format!("certificate and key match; valid until {until}"),
                        )
                    }
                },
            },
        ),
        (None, TlsMode::Proxy) => {
            Some(Finding::ok(CHECK, "terminated by the proxy; checked below"))
        }
        _ => None,
    }
}

/// A connection as a device makes it: DNS, TLS, proxy, WebSocket, greeting.
pub(super) async fn reach(status: &StatusReport) -> Option<Finding> {
    const CHECK: &str = "reachable";
    let url = status.url.as_ref()?;
    // Plain text is for this machine only, where it is no risk.
    let greeted = fetch_greeting(url, &ConnectOptions { allow_plain: false }).await;
    let shown = url.split('#').next().unwrap_or_default();
    Some(match greeted {
        Err(error) => {
            let text = format!("{shown}: {error}");
            let next = "See docs/guide/tls.md about proxy, firewall and port. Without hairpin NAT in the router, test from \
                        outside.";
            Finding::failure(CHECK, text, next)
        }
        Ok(greeted) if Some(greeted.relay_id.to_string()) != status.relay_id => {
            let text = format!("{shown} is a different relay from the one of this data directory");
            Finding::failure(
                CHECK,
                text,
                "Correct the DNS record or the proxy's upstream.",
            )
        }
        Ok(_) => {
            let way = if shown.starts_with("wss://") {
                "TLS, WebSocket and greeting"
            } else {
                "WebSocket and greeting"
            };
            Finding::ok(CHECK, format!("{shown}: {way} succeeded, from this relay"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_server::doctor::Level;

    #[test]
    fn a_port_is_judged_by_who_should_be_there() {
        let status = StatusReport {
            process_id: 7,
            ..StatusReport::default()
        };
        let level = |owner: &Owner, status: Option<&StatusReport>| {
            judge_port(443, owner.clone(), Some(true), status).level
        };
        let nginx = Owner::Process(8, "nginx".into());
        assert_eq!(
            level(&Owner::Process(7, "graceful-relay".into()), Some(&status)),
            Level::Ok
        );
        assert_eq!(
            [level(&nginx, Some(&status)), level(&nginx, None)],
            [Level::Failure; 2]
        );
        assert_eq!(
            [
                level(&Owner::Nobody, Some(&status)),
                level(&Owner::Nobody, None)
            ],
            [Level::Failure, Level::Ok]
        );
        assert_eq!(
            [
                level(&Owner::Somebody, Some(&status)),
                level(&Owner::Somebody, None)
            ],
            [Level::Ok, Level::Failure]
        );
        assert_eq!(
            judge_port(443, Owner::Nobody, Some(false), None).level,
            Level::Warning
        );
    }
}
