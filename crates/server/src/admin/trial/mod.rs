//! The relay tries itself: two devices of its own found an account through the public listener, push,
//! fetch, acknowledge, and delete it. What they push is chance, and nobody else sees their keys.

mod device;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::http::Admission;
use crate::http::tls::Tls;
use crate::relay::{Cause, Relay};

use device::{Device, Keys};

/// For the whole of a trial.
const TIME_MAX: Duration = Duration::from_secs(20);
/// After the start, and while trials fail.
const SOON: Duration = Duration::from_secs(30);

/// How the relay's public listener is reached from this machine.
#[derive(Clone)]
pub struct Way {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its TLS, if it has its own.
    pub tls: Option<Tls>,
    /// Whether to begin with the PROXY protocol, saying that nobody is behind it.
    pub proxy_header: bool,
    /// The name to dial; `None`: one of the certificate, or the address.
    pub host: Option<String>,
}

impl Way {
    /// From the settings of the listener.
    pub fn to(address: SocketAddr, tls: Option<Tls>, admission: &Admission) -> Self {
        let way = Self {
            address,
            tls,
            proxy_header: false,
            host: None,
        };
        // From this machine the other end has the address that was dialled.
        let proxy_header = admission.expects_header_from(way.dialled().ip());
        Self {
            proxy_header,
            ..way
        }
    }

    /// "Every address" is not one to dial.
    fn dialled(&self) -> SocketAddr {
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
        let named = || relay.terms().hosts.first().map(str::to_owned);
        let host = self.host.clone().or_else(of_certificate).or_else(named);
        host.unwrap_or_else(|| self.dialled().ip().to_string())
    }
}

/// Trials of one relay.
pub struct Trials {
    relay: Relay,
    way: Way,
}

impl Trials {
    /// None is made yet.
    pub fn new(relay: Relay, way: Way) -> Self {
        Self { relay, way }
    }

    /// Makes one from time to time, and sooner while they fail, until cancelled.
    pub async fn run(self, interval: Duration, cancel: CancellationToken) {
        let mut pause = SOON.min(interval);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = cancel.cancelled() => return,
            }
            let good = tokio::select! {
                good = self.make() => good,
                () = cancel.cancelled() => return,
            };
            pause = if good { interval } else { SOON.min(interval) };
        }
    }

    /// Makes one; the relay's health says how it went.
    pub async fn make(&self) -> bool {
        let began = Instant::now();
        let tried = tokio::time::timeout(TIME_MAX, self.attempt()).await;
        let tried =
            tried.unwrap_or_else(|_| Err(format!("it took longer than {} s", TIME_MAX.as_secs())));
        let good = tried.is_ok();
        self.relay.conditions().set(Cause::CanaryFailed, !good);
        match tried {
            Ok(()) => self.relay.health().well(began.elapsed()),
            Err(trouble) => self.relay.health().badly(trouble),
        }
        good
    }

    async fn attempt(&self) -> Result<(), String> {
        let host = self.way.host(&self.relay);
        let dial = || Device::dial(&self.way, host.clone());
        let mut first = dial().await?;
        let invitation = self.relay.invite_for_trial(TIME_MAX).await;
        // Where nobody may found an account, a greeting is as much as can be had.
        let Some(invitation) = invitation.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let (keys, other) = (Keys::fresh(), Keys::fresh());
        let account = first.found(&keys, invitation).await?;
        let tried = async {
            first.add(&keys, account, &other).await?;
            let mut second = dial().await?;
            second.come(&other, account.id).await?;
            let sealed = first.push().await?;
            second.fetch(&sealed).await
        };
        let tried = tried.await;
        // Also where something went wrong in between: nothing is left behind.
        let closed = first.close(account.id).await;
        tried.and(closed)
    }
}
