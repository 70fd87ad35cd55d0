//! Admission control: counts connections per address, rejects those over a limit and evicts. The
//! algorithm is in `graceful-rules`; the clock, the lock and the cancellation are here.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::client_ip::is_trusted_proxy;
use super::proxy_header::ProxyHeader;
use crate::net::origins::AllowedOrigins;
use graceful_rules::admission::{
    Address, ConnectionId, ConnectionLimits, ConnectionTable, Rejected,
};
use graceful_rules::rate::{KeyedLimiter, RateLimit};

/// Addresses whose rate is tracked: as many as may be connected, and some that left.
const THROTTLE_KEYS_MAX: usize = 16_384;
/// The longest delay for a connection of an address over its rate in milliseconds, shorter than any
/// ping interval.
const PAUSE_MS_MAX: u64 = 5_000;
/// Bytes are charged in batches of this size.
const COUNT_BYTES: u64 = 32 * 1024;

/// Limits per address, and trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Limits of connections, in total and per address.
    pub crowd: ConnectionLimits,
    /// Whether to tell clients apart by address. Off where all come through one untrusted proxy.
    pub by_address: bool,
    /// Frames of one address.
    pub address_frames: RateLimit,
    /// Bytes of one address.
    pub address_bytes: RateLimit,
    /// Concurrent TLS handshakes.
    pub handshakes_max: usize,
    /// Proxies whose client address is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether these proxies send the PROXY protocol.
    pub proxy_header: ProxyHeader,
    /// Origins of web pages that may connect.
    pub allowed_origins: AllowedOrigins,
}

impl Admission {
    /// Returns whether a peer at this address must send the PROXY protocol.
    pub fn requires_proxy_header_from(&self, from: IpAddr) -> bool {
        let trusted = || is_trusted_proxy(&self.trusted_proxies, from);
        self.proxy_header == ProxyHeader::Required && trusted()
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            crowd: ConnectionLimits {
                unauthenticated_max: 500,
                address_unauthenticated_max: 50,
                address_connections_max: 200,
                address_attempts: RateLimit::per_minute(300),
            },
            by_address: true,
            address_frames: RateLimit::per_second(1_000),
            address_bytes: RateLimit::per_second(16 << 20),
            handshakes_max: 128,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            allowed_origins: AllowedOrigins::default(),
        }
    }
}

/// Signals to one connection.
#[derive(Debug, Clone, Default)]
struct Signals {
    /// Its slot goes to another connection.
    evict: CancellationToken,
    /// The relay is draining, and this connection is next.
    drain: CancellationToken,
}

struct State {
    crowd: ConnectionTable,
    signals: BTreeMap<ConnectionId, Signals>,
}

/// The state of all connections.
pub(crate) struct AdmissionControl {
    state: Mutex<State>,
    throttles: Mutex<(KeyedLimiter<Address>, KeyedLimiter<Address>)>,
    handshakes: Arc<Semaphore>,
    options: Admission,
    started: Instant,
}

/// The source of a client's address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PeerAddressSource {
    /// The peer address of the socket.
    Socket,
    /// The PROXY protocol.
    ProxyHeader,
    /// The header X-Forwarded-For, or none.
    XForwardedFor,
}

impl AdmissionControl {
    pub(crate) fn new(admission: Admission) -> Arc<Self> {
        let state = State {
            crowd: ConnectionTable::new(admission.crowd),
            signals: BTreeMap::new(),
        };
        let throttles = (
            KeyedLimiter::new(admission.address_frames, THROTTLE_KEYS_MAX),
            KeyedLimiter::new(admission.address_bytes, THROTTLE_KEYS_MAX),
        );
        let (state, throttles) = (Mutex::new(state), Mutex::new(throttles));
        let handshakes = Arc::new(Semaphore::new(admission.handshakes_max));
        Arc::new(Self {
            state,
            throttles,
            handshakes,
            options: admission,
            started: Instant::now(),
        })
    }

    /// Acquires the permit for a TLS handshake. The wait counts toward the handshake timeout.
    pub(crate) async fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        self.handshakes.clone().acquire_owned().await.ok()
    }

    /// Returns where the client address of a peer comes from.
    pub(crate) fn address_source(&self, peer: IpAddr) -> PeerAddressSource {
        let trusted = is_trusted_proxy(&self.options.trusted_proxies, peer);
        match self.options.proxy_header {
            _ if !trusted => PeerAddressSource::Socket,
            ProxyHeader::Off => PeerAddressSource::XForwardedFor,
            ProxyHeader::Required => PeerAddressSource::ProxyHeader,
        }
    }

    /// Admits a connection. It counts until the last handle is dropped.
    pub(crate) fn admit(
        self: &Arc<Self>,
        from: Option<IpAddr>,
    ) -> Result<Arc<ConnectionGuard>, Rejected> {
        let address = self.address(from);
        let mut state = self.state();
        let (number, cut) = state.crowd.insert(address, self.now_ms())?;
        if let Some(signals) = cut.and_then(|cut| state.signals.get(&cut)) {
            signals.evict.cancel();
        }
        let signals = Signals::default();
        state.signals.insert(number, signals.clone());
        drop(state);
        let guard = ConnectionGuard {
            admission: self.clone(),
            number,
            signals,
            address: OnceLock::new(),
            bytes: AtomicU64::new(0),
            known: AtomicBool::new(false),
        };
        if let Some(address) = address {
            let _ = guard.address.set(address);
        }
        Ok(Arc::new(guard))
    }

    /// Returns the number of connections.
    pub(crate) fn count(&self) -> usize {
        self.state().signals.len()
    }

    /// Signals all connections to leave, in batches with a pause.
    pub(crate) async fn drain(&self, at_a_time: usize, pause: Duration) {
        let everybody: Vec<Signals> = self.state().signals.values().cloned().collect();
        for slice in everybody.chunks(at_a_time.max(1)) {
            slice.iter().for_each(|signals| signals.drain.cancel());
            tokio::time::sleep(pause).await;
        }
    }

    pub(crate) fn options(&self) -> &Admission {
        &self.options
    }

    fn address(&self, from: Option<IpAddr>) -> Option<Address> {
        from.filter(|_| self.options.by_address).map(Address::from)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One admitted connection.
pub(crate) struct ConnectionGuard {
    admission: Arc<AdmissionControl>,
    number: ConnectionId,
    signals: Signals,
    address: OnceLock<Address>,
    /// Bytes received and not charged yet.
    bytes: AtomicU64,
    known: AtomicBool,
}

impl ConnectionGuard {
    /// Sets the client address that the proxy reported.
    pub(crate) fn set_address(&self, from: IpAddr) -> Result<(), Rejected> {
        let Some(address) = self.admission.address(Some(from)) else {
            return Ok(());
        };
        self.admission
            .state()
            .crowd
            .set_address(self.number, address, self.admission.now_ms())?;
        let _ = self.address.set(address);
        Ok(())
    }

    /// Marks the connection as authenticated.
    pub(crate) fn mark_authenticated(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.admission.state().crowd.mark_authenticated(self.number);
        }
    }

    pub(crate) fn address(&self) -> Option<Address> {
        self.address.get().copied()
    }

    /// Resolves when the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.signals.evict.cancelled().await;
    }

    /// Returns the token that is cancelled when the relay drains this connection.
    pub(crate) fn drain_token(&self) -> CancellationToken {
        self.signals.drain.clone()
    }

    /// Charges received bytes and returns how long to delay the next read.
    pub(crate) fn count_bytes(&self, bytes: u64) -> Option<Duration> {
        let address = self.address()?;
        let gathered = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if gathered < COUNT_BYTES {
            return None;
        }
        self.bytes.store(0, Ordering::Relaxed);
        let now_ms = self.admission.now_ms();
        pause(
            self.admission
                .throttles()
                .1
                .charge(address, gathered, now_ms, PAUSE_MS_MAX),
        )
    }

    /// Charges a received message and returns how long to delay the next read.
    pub(crate) fn count_frame(&self) -> Option<Duration> {
        let address = self.address()?;
        let now_ms = self.admission.now_ms();
        pause(
            self.admission
                .throttles()
                .0
                .charge(address, 1, now_ms, PAUSE_MS_MAX),
        )
    }
}

impl AdmissionControl {
    fn throttles(&self) -> MutexGuard<'_, (KeyedLimiter<Address>, KeyedLimiter<Address>)> {
        self.throttles.lock()
    }
}

fn pause(wait_ms: u64) -> Option<Duration> {
    (wait_ms > 0).then(|| Duration::from_millis(wait_ms))
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.crowd.remove(self.number);
        state.signals.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_ends_with_its_last_handle() {
        let admission = AdmissionControl::new(Admission::default());
        let guard = admission
            .admit(Some(IpAddr::from([192, 0, 2, 1])))
            .expect("room");
        let other = guard.clone();
        drop(guard);
        assert_eq!(admission.count(), 1);
        drop(other);
        assert_eq!((admission.count(), admission.state().crowd.len()), (0, 0));
    }

    #[tokio::test]
    async fn whose_place_is_given_away_is_told() {
        let mut admission = Admission::default();
        admission.crowd.unauthenticated_max = 2;
        let admission = AdmissionControl::new(admission);
        let first_two = [1, 1].map(|last| {
            admission
                .admit(Some([192, 0, 2, last].into()))
                .expect("room")
        });
        let _other = admission
            .admit(Some([192, 0, 2, 2].into()))
            .expect("room is made");
        first_two[0].evicted().await;
        assert!(!first_two[1].signals.evict.is_cancelled());
    }

    #[tokio::test]
    async fn so_many_shake_hands_at_a_time_and_the_next_waits_for_its_turn() {
        let admission = AdmissionControl::new(Admission {
            handshakes_max: 1,
            ..Admission::default()
        });
        let first = admission.handshake().await.expect("open");
        tokio::select! {
            biased;
            _ = admission.handshake() => panic!("two at a time"),
            () = tokio::task::yield_now() => drop(first),
        }
        drop(admission.handshake().await.expect("its turn"));
    }

    #[test]
    fn only_listed_proxies_are_asked_who_comes() {
        let trusted_proxies = vec![IpNet::from(IpAddr::from([127, 0, 0, 1]))];
        let address_source = |proxy_header, peer: [u8; 4]| {
            let trusted_proxies = trusted_proxies.clone();
            let admission = Admission {
                trusted_proxies,
                proxy_header,
                ..Admission::default()
            };
            AdmissionControl::new(admission).address_source(peer.into())
        };
        assert_eq!(
            address_source(ProxyHeader::Required, [127, 0, 0, 2]),
            PeerAddressSource::Socket
        );
        assert_eq!(
            address_source(ProxyHeader::Required, [127, 0, 0, 1]),
            PeerAddressSource::ProxyHeader
        );
        assert_eq!(
            address_source(ProxyHeader::Off, [127, 0, 0, 1]),
            PeerAddressSource::XForwardedFor
        );
        assert_eq!(
            address_source(ProxyHeader::Off, [127, 0, 0, 2]),
            PeerAddressSource::Socket
        );
    }

    #[test]
    fn who_sends_more_than_its_pace_is_paused_with_all_of_its_address() {
        let pace = RateLimit {
            count: 10,
            period_ms: 1_000,
            burst: 10,
        };
        let admission = Admission {
            address_frames: pace,
            ..Admission::default()
        };
        let admission = AdmissionControl::new(admission);
        let [first, second] = [1, 1].map(|last| {
            admission
                .admit(Some([192, 0, 2, last].into()))
                .expect("room")
        });
        let other = admission.admit(Some([192, 0, 2, 2].into())).expect("room");
        for _ in 0..30 {
            first.count_frame();
        }
        assert!(
            second
                .count_frame()
                .is_some_and(|pause| pause > Duration::from_secs(1))
        );
        assert_eq!(other.count_frame(), None);
    }
}
