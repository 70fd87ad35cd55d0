//! Who is at the door: counts visitors by where they come from, and turns away who is one too many.
//! The decisions are in the rules; here are the clock, the lock and what has to be cut.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::source::{Network, is_trusted};
use super::{AllowedOrigins, ProxyHeader};
use graceful_rules::admission::{Address, Crowd, CrowdLimits, TurnedAway, VisitorNumber};
use graceful_rules::rate::{Allowance, Rates};

/// Addresses whose pace is remembered: as many as may be connected, and some that just left.
const PACED_MAX: usize = 16_384;
/// How long one connection may have to wait for its address's pace, in milliseconds. Shorter than
/// any heartbeat.
const PAUSE_MS_MAX: u64 = 5_000;
/// Bytes that are counted together.
const COUNT_BYTES: u64 = 32 * 1024;

/// Who is let in, how fast, and who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// How many, from everywhere and from one address.
    pub crowd: CrowdLimits,
    /// Whether addresses tell visitors apart: not where all come from one proxy that nobody believes.
    pub by_address: bool,
    /// Frames from one address.
    pub address_frames: Allowance,
    /// Bytes from one address.
    pub address_bytes: Allowance,
    /// TLS handshakes at a time.
    pub handshakes_max: usize,
    /// Proxies that are believed when they name another address.
    pub trusted_proxies: Vec<Network>,
    /// Whether they do so before everything else.
    pub proxy_header: ProxyHeader,
    /// Pages that may come.
    pub allowed_origins: AllowedOrigins,
}

impl Admission {
    /// Whether who comes from this address has to begin with the PROXY protocol.
    pub fn expects_header_from(&self, from: IpAddr) -> bool {
        let trusted = || {
            self.trusted_proxies
                .iter()
                .any(|network| network.contains(from))
        };
        self.proxy_header == ProxyHeader::Required && trusted()
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            crowd: CrowdLimits {
                newcomers_max: 500,
                address_newcomers_max: 50,
                address_connections_max: 200,
                address_arrivals: Allowance::per_minute(300),
            },
            by_address: true,
            address_frames: Allowance::per_second(1_000),
            address_bytes: Allowance::per_second(16 << 20),
            handshakes_max: 128,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            allowed_origins: AllowedOrigins::default(),
        }
    }
}

/// What a visitor can be told at any time.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Its place is given to another.
    cut: CancellationToken,
    /// The relay is about to stop, and it is this one's turn.
    leave: CancellationToken,
}

struct Here {
    crowd: Crowd,
    told: BTreeMap<VisitorNumber, Told>,
}

/// The one at the door.
pub(super) struct Doorkeeper {
    here: Mutex<Here>,
    paces: Mutex<(Rates<Address>, Rates<Address>)>,
    handshakes: Arc<Semaphore>,
    admission: Admission,
    started: Instant,
}

/// How a connection is to be received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// It comes from where it comes from.
    Direct,
    /// Its proxy says first who it is.
    Header,
    /// Its proxy says so in the request, or not at all.
    Forwarded,
}

impl Doorkeeper {
    pub(super) fn new(admission: Admission) -> Arc<Self> {
        let here = Here {
            crowd: Crowd::new(admission.crowd),
            told: BTreeMap::new(),
        };
        let paces = (
            Rates::new(admission.address_frames, PACED_MAX),
            Rates::new(admission.address_bytes, PACED_MAX),
        );
        let (here, paces) = (Mutex::new(here), Mutex::new(paces));
        let handshakes = Arc::new(Semaphore::new(admission.handshakes_max));
        Arc::new(Self {
            here,
            paces,
            handshakes,
            admission,
            started: Instant::now(),
        })
    }

    /// Waits for its turn in a TLS handshake, which lasts until this is dropped. To be waited for
    /// within the time that the handshake may take.
    pub(super) async fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        self.handshakes.clone().acquire_owned().await.ok()
    }

    /// How to receive a peer.
    pub(super) fn reception(&self, peer: IpAddr) -> Reception {
        let trusted = is_trusted(&self.admission.trusted_proxies, peer);
        match self.admission.proxy_header {
            _ if !trusted => Reception::Direct,
            ProxyHeader::Off => Reception::Forwarded,
            ProxyHeader::Required | ProxyHeader::Optional => Reception::Header,
        }
    }

    /// Lets somebody in. The visit lasts until its last handle is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        from: Option<IpAddr>,
    ) -> Result<Arc<Visitor>, TurnedAway> {
        let address = self.address(from);
        let mut here = self.here();
        let (number, cut) = here.crowd.enter(address, self.now_ms())?;
        if let Some(told) = cut.and_then(|cut| here.told.get(&cut)) {
            told.cut.cancel();
        }
        let told = Told::default();
        here.told.insert(number, told.clone());
        drop(here);
        let visitor = Visitor {
            doorkeeper: self.clone(),
            number,
            told,
            address: OnceLock::new(),
            bytes: AtomicU64::new(0),
            known: AtomicBool::new(false),
        };
        if let Some(address) = address {
            let _ = visitor.address.set(address);
        }
        Ok(Arc::new(visitor))
    }

    /// How many are here.
    pub(super) fn count(&self) -> usize {
        self.here().told.len()
    }

    /// Asks everybody to leave, so many at a time, and waits in between.
    pub(super) async fn empty(&self, at_a_time: usize, pause: Duration) {
        let everybody: Vec<Told> = self.here().told.values().cloned().collect();
        for slice in everybody.chunks(at_a_time.max(1)) {
            slice.iter().for_each(|told| told.leave.cancel());
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    fn address(&self, from: Option<IpAddr>) -> Option<Address> {
        from.filter(|_| self.admission.by_address)
            .map(Address::from)
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().expect("nobody panics holding it")
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One connection, from the moment it is let in.
pub(super) struct Visitor {
    doorkeeper: Arc<Doorkeeper>,
    number: VisitorNumber,
    told: Told,
    address: OnceLock<Address>,
    /// Came in and not counted yet.
    bytes: AtomicU64,
    known: AtomicBool,
}

impl Visitor {
    /// Its proxy says where it comes from.
    pub(super) fn settle(&self, from: IpAddr) -> Result<(), TurnedAway> {
        let Some(address) = self.doorkeeper.address(Some(from)) else {
            return Ok(());
        };
        self.doorkeeper
            .here()
            .crowd
            .settle(self.number, address, self.doorkeeper.now_ms())?;
        let _ = self.address.set(address);
        Ok(())
    }

    /// A device has proved on this connection who it is.
    pub(super) fn known(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.doorkeeper.here().crowd.known(self.number);
        }
    }

    pub(super) fn address(&self) -> Option<Address> {
        self.address.get().copied()
    }

    /// Resolves when its place is given to another.
    pub(super) async fn cut(&self) {
        self.told.cut.cancelled().await;
    }

    /// Cancelled when it should leave, because the relay is about to stop.
    pub(super) fn leave(&self) -> CancellationToken {
        self.told.leave.clone()
    }

    /// Counts bytes that came in, and says how long not to read on.
    pub(super) fn count_bytes(&self, bytes: u64) -> Option<Duration> {
        let address = self.address()?;
        let gathered = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if gathered < COUNT_BYTES {
            return None;
        }
        self.bytes.store(0, Ordering::Relaxed);
        let now_ms = self.doorkeeper.now_ms();
        pause(
            self.doorkeeper
                .paces()
                .1
                .charge(address, gathered, now_ms, PAUSE_MS_MAX),
        )
    }

    /// Counts a message that came in, and says how long not to read on.
    pub(super) fn count_frame(&self) -> Option<Duration> {
        let address = self.address()?;
        let now_ms = self.doorkeeper.now_ms();
        pause(
            self.doorkeeper
                .paces()
                .0
                .charge(address, 1, now_ms, PAUSE_MS_MAX),
        )
    }
}

impl Doorkeeper {
    fn paces(&self) -> MutexGuard<'_, (Rates<Address>, Rates<Address>)> {
        self.paces.lock().expect("nobody panics holding it")
    }
}

fn pause(wait_ms: u64) -> Option<Duration> {
    (wait_ms > 0).then(|| Duration::from_millis(wait_ms))
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut here = self.doorkeeper.here();
        here.crowd.leave(self.number);
        here.told.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_ends_with_its_last_handle() {
        let doorkeeper = Doorkeeper::new(Admission::default());
        let visitor = doorkeeper
            .enter(Some(IpAddr::from([192, 0, 2, 1])))
            .expect("room");
        let other = visitor.clone();
        drop(visitor);
        assert_eq!(doorkeeper.count(), 1);
        drop(other);
        assert_eq!((doorkeeper.count(), doorkeeper.here().crowd.len()), (0, 0));
    }

    #[tokio::test]
    async fn whose_place_is_given_away_is_told() {
        let mut admission = Admission::default();
        admission.crowd.newcomers_max = 2;
        let doorkeeper = Doorkeeper::new(admission);
        let greedy = [1, 1].map(|last| {
            doorkeeper
                .enter(Some([192, 0, 2, last].into()))
                .expect("room")
        });
        let _other = doorkeeper
            .enter(Some([192, 0, 2, 2].into()))
            .expect("room is made");
        greedy[0].cut().await;
        assert!(!greedy[1].told.cut.is_cancelled());
    }

    #[tokio::test]
    async fn so_many_shake_hands_at_a_time_and_the_next_waits_for_its_turn() {
        let doorkeeper = Doorkeeper::new(Admission {
            handshakes_max: 1,
            ..Admission::default()
        });
        let first = doorkeeper.handshake().await.expect("open");
        tokio::select! {
            biased;
            _ = doorkeeper.handshake() => panic!("two at a time"),
            () = tokio::task::yield_now() => drop(first),
        }
        drop(doorkeeper.handshake().await.expect("its turn"));
    }

    #[test]
    fn only_listed_proxies_are_asked_who_comes() {
        let trusted_proxies = vec!["127.0.0.1".parse().expect("a network")];
        let reception = |proxy_header, peer: [u8; 4]| {
            let trusted_proxies = trusted_proxies.clone();
            let admission = Admission {
                trusted_proxies,
                proxy_header,
                ..Admission::default()
            };
            Doorkeeper::new(admission).reception(peer.into())
        };
        assert_eq!(
            reception(ProxyHeader::Required, [127, 0, 0, 2]),
            Reception::Direct
        );
        assert_eq!(
            reception(ProxyHeader::Required, [127, 0, 0, 1]),
            Reception::Header
        );
        assert_eq!(
            reception(ProxyHeader::Off, [127, 0, 0, 1]),
            Reception::Forwarded
        );
        assert_eq!(
            reception(ProxyHeader::Off, [127, 0, 0, 2]),
            Reception::Direct
        );
    }

    #[test]
    fn who_sends_more_than_its_pace_is_paused_with_all_of_its_address() {
        let pace = Allowance {
            count: 10,
            period_ms: 1_000,
            burst: 10,
        };
        let admission = Admission {
            address_frames: pace,
            ..Admission::default()
        };
        let doorkeeper = Doorkeeper::new(admission);
        let [first, second] = [1, 1].map(|last| {
            doorkeeper
                .enter(Some([192, 0, 2, last].into()))
                .expect("room")
        });
        let other = doorkeeper.enter(Some([192, 0, 2, 2].into())).expect("room");
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
