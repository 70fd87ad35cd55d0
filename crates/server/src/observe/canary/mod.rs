//! The canary: two test devices create an account through the public listener, push, fetch,
//! acknowledge and delete it. The envelopes are random bytes.

mod device;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::net::admission::Admission;
use crate::net::tls::Tls;
use crate::relay::Relay;

use device::{Device, Keys};

/// The timeout of one run.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The interval after the start and after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How to reach the public listener from this machine.
#[derive(Clone)]
pub struct CanaryTarget {
    /// The listener's address.
    pub address: SocketAddr,
    /// The relay's own TLS.
    pub tls: Option<Tls>,
    /// Whether to send a PROXY protocol header of type LOCAL.
    pub proxy_header: bool,
    /// The name to dial; by default one of the certificate, or the address.
    pub host: Option<String>,
}

impl CanaryTarget {
    /// Derives the target from the options of the listener.
    pub fn new(address: SocketAddr, tls: Option<Tls>, admission: &Admission) -> Self {
        let target = Self {
            address,
            tls,
            proxy_header: false,
            host: None,
        };
        // From this machine, the peer address is the dialed address.
        let proxy_header = admission.requires_proxy_header_from(target.dial_address().ip());
        Self {
            proxy_header,
            ..target
        }
    }

    /// An unspecified address cannot be dialed.
    fn dial_address(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    fn host(&self, relay: &Relay) -> String {
        let of_certificate = || {
            self.tls
                .as_ref()
                .and_then(|tls| tls.names().into_iter().next())
        };
        let named = || {
            relay
                .session_config()
                .server_names
                .first()
                .map(str::to_owned)
        };
        let host = self.host.clone().or_else(of_certificate).or_else(named);
        host.unwrap_or_else(|| self.dial_address().ip().to_string())
    }
}

/// Runs the canary of one relay.
pub struct CanaryRunner {
    relay: Relay,
    target: CanaryTarget,
}

impl CanaryRunner {
    /// Creates a runner.
    pub fn new(relay: Relay, target: CanaryTarget) -> Self {
        Self { relay, target }
    }

    /// Runs at each interval, sooner after a failure, until cancelled.
    pub async fn run(self, interval: Duration, cancel: CancellationToken) {
        let mut pause = RETRY_INTERVAL.min(interval);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = cancel.cancelled() => return,
            }
            let good = tokio::select! {
                good = self.run_once() => good,
                () = cancel.cancelled() => return,
            };
            pause = if good {
                interval
            } else {
                RETRY_INTERVAL.min(interval)
            };
        }
    }

    /// Runs the canary once, records the result and returns whether it succeeded.
    pub async fn run_once(&self) -> bool {
        // The canary accepts its own certificate regardless of its dates; a device would not.
        if let Some(reason) = self.relay.readiness().certificate_problem() {
            self.relay.canary().record_blocked(reason);
            return false;
        }
        let began = Instant::now();
        let result = tokio::time::timeout(TIMEOUT, self.attempt()).await;
        let result =
            result.unwrap_or_else(|_| Err(format!("timed out after {} s", TIMEOUT.as_secs())));
        let ok = result.is_ok();
        match result {
            Ok(()) => self.relay.canary().record_ok(began.elapsed()),
            Err(error) => self.relay.canary().record_failure(error),
        }
        ok
    }

    async fn attempt(&self) -> Result<(), String> {
        let host = self.target.host(&self.relay);
        let dial = || Device::dial(&self.target, host.clone());
        let mut first = dial().await?;
        let invitation = self.relay.invite_for_canary(TIMEOUT).await;
        // With closed registration, a greeting is all that can be tested.
        let Some(invitation) = invitation.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let (keys, other) = (Keys::generate(), Keys::generate());
        let account = first.create_account(&keys, invitation).await?;
        let tried = async {
            first.add(&keys, account, &other).await?;
            let mut second = dial().await?;
            second.authenticate(&other, account.id).await?;
            let sealed = first.push().await?;
            second.fetch(&sealed).await
        };
        let tried = tried.await;
        // Also after a failure, so that nothing is left behind.
        let closed = first.delete_account(account.id).await;
        tried.and(closed)
    }
}
