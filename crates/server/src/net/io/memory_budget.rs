//! The memory for large frames in transit, shared by all connections.
//!
//! A frame reserves memory before it is read, and releases it with its last byte. Without free
//! memory, reading waits. So that a slow sender cannot hold a reservation for long, the longest
//! running one is cancelled while others wait.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A frame up to this size needs no reservation: the number of connections is limited.
pub(crate) const UNRESERVED_BYTES_MAX: usize = 16 * 1024;

/// The unit of the semaphore, which counts to 2^29 at least.
const UNIT_BYTES: usize = 1024;

/// Unauthenticated connections share this fraction, so that they cannot starve devices.
const UNAUTHENTICATED_DIVISOR: usize = 4;

/// A reservation older than this is cancelled if another waits as long.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The budget of a relay.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    unauthenticated: Arc<Pool>,
    authenticated: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    units: Arc<Semaphore>,
    units_max: usize,
    stall_timeout: Duration,
    /// By number, and so by age.
    in_flight: Mutex<BTreeMap<u64, InFlight>>,
}

#[derive(Debug)]
struct InFlight {
    since: Instant,
    cut: CancellationToken,
}

impl MemoryBudget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self::with_stall_timeout(bytes, STALL_TIMEOUT)
    }

    pub(crate) fn with_stall_timeout(bytes: u64, stall_timeout: Duration) -> Self {
        let units = usize::try_from(bytes / UNIT_BYTES as u64).unwrap_or(usize::MAX);
        let unauthenticated = units / UNAUTHENTICATED_DIVISOR;
        Self {
            unauthenticated: Pool::new(unauthenticated, stall_timeout),
            authenticated: Pool::new(units - unauthenticated, stall_timeout),
        }
    }

    /// Waits for a reservation of `bytes`.
    pub(crate) fn reserve(
        &self,
        is_authenticated: bool,
        bytes: usize,
    ) -> impl Future<Output = Reservation> + Send + use<> {
        let pool = if is_authenticated {
            &self.authenticated
        } else {
            &self.unauthenticated
        };
        pool.clone().reserve(bytes)
    }

    /// Returns the reserved bytes and the capacity.
    pub(crate) fn in_use(&self) -> [u64; 2] {
        let pools = [&self.unauthenticated, &self.authenticated];
        let units_max: usize = pools.iter().map(|pool| pool.units_max).sum();
        let units_left: usize = pools
            .iter()
            .map(|pool| pool.units.available_permits())
            .sum();
        [units_max - units_left, units_max].map(|units| units as u64 * UNIT_BYTES as u64)
    }
}

impl Pool {
    fn new(units: usize, stall_timeout: Duration) -> Arc<Self> {
        let units_max = units.clamp(1, Semaphore::MAX_PERMITS);
        let units = Arc::new(Semaphore::new(units_max));
        Arc::new(Self {
            units,
            units_max,
            stall_timeout,
            in_flight: Mutex::default(),
        })
    }

    async fn reserve(self: Arc<Self>, bytes: usize) -> Reservation {
        // A frame larger than the pool takes the whole pool.
        let units = bytes.div_ceil(UNIT_BYTES).min(self.units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut turn = std::pin::pin!(self.units.clone().acquire_many_owned(units));
        let permit = loop {
            match tokio::time::timeout(self.stall_timeout, turn.as_mut()).await {
                Ok(permit) => break permit.expect("nobody closes it"),
                Err(_) => self.cancel_slowest(),
            }
        };
        let cut = CancellationToken::new();
        let mut in_flight = self.in_flight();
        let number = in_flight.last_key_value().map_or(0, |(last, _)| last + 1);
        in_flight.insert(
            number,
            InFlight {
                since: Instant::now(),
                cut: cut.clone(),
            },
        );
        drop(in_flight);
        Reservation {
            in_flight: InFlightGuard {
                pool: self,
                number,
                cut,
            },
            permit,
        }
    }

    fn cancel_slowest(&self) {
        let in_flight = self.in_flight();
        // Cancelled reservations are released, but not within this call.
        let slowest = in_flight
            .values()
            .find(|in_flight| !in_flight.cut.is_cancelled());
        if let Some(slowest) =
            slowest.filter(|slowest| slowest.since.elapsed() >= self.stall_timeout)
        {
            slowest.cut.cancel();
        }
    }

    fn in_flight(&self) -> MutexGuard<'_, BTreeMap<u64, InFlight>> {
        self.in_flight.lock()
    }
}

/// The reservation of a frame in transit.
#[derive(Debug)]
pub(crate) struct Reservation {
    in_flight: InFlightGuard,
    permit: OwnedSemaphorePermit,
}

impl Reservation {
    /// Returns the token that is cancelled when others need the memory.
    pub(crate) fn cut(&self) -> CancellationToken {
        self.in_flight.cut.clone()
    }

    /// Ties the reservation to the bytes of the complete frame.
    pub(crate) fn into_bytes(self, bytes: Bytes) -> Bytes {
        struct Counted {
            bytes: Bytes,
            _permit: OwnedSemaphorePermit,
        }
        impl AsRef<[u8]> for Counted {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        Bytes::from_owner(Counted {
            bytes,
            _permit: self.permit,
        })
    }
}

#[derive(Debug)]
struct InFlightGuard {
    pool: Arc<Pool>,
    number: u64,
    cut: CancellationToken,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.pool.in_flight().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const KIB: usize = 1024;

    /// For what happens at once where all is well.
    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future)
            .await
            .expect("in time")
    }

    fn budget() -> MemoryBudget {
        MemoryBudget::new(4 * 100 * KIB as u64)
    }

    #[tokio::test]
    async fn a_part_is_given_back_with_the_last_of_the_bytes() {
        let budget = budget();
        let whole = soon(budget.reserve(true, 300 * KIB))
            .await
            .into_bytes(Bytes::from(vec![7; 300 * KIB]));
        let slice = whole.slice(5..10);
        drop(whole);
        assert!(budget.reserve(true, KIB).now_or_never().is_none());
        drop(slice);
        assert!(budget.reserve(true, 300 * KIB).now_or_never().is_some());
    }

    #[tokio::test]
    async fn unauthenticated_connections_leave_reserved_memory() {
        let budget = budget();
        let _strangers = budget.reserve(false, 100 * KIB).await;
        assert_eq!(budget.in_use(), [100 * KIB as u64, 400 * KIB as u64]);
        assert!(budget.reserve(false, KIB).now_or_never().is_none());
        assert!(budget.reserve(true, 300 * KIB).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_message_larger_than_all_takes_all() {
        let budget = budget();
        let _large = budget.reserve(true, 10_000 * KIB).await;
        assert!(budget.reserve(true, KIB).now_or_never().is_none());
    }

    #[tokio::test]
    async fn longest_sender_is_cut_first() {
        let budget = MemoryBudget::with_stall_timeout(4 * 100 * KIB as u64, Duration::ZERO);
        let slow = budget.reserve(true, 200 * KIB).await;
        let quick = soon(budget.reserve(true, 100 * KIB)).await;
        budget.authenticated.cancel_slowest();
        assert_eq!(
            (slow.cut().is_cancelled(), quick.cut().is_cancelled()),
            (true, false)
        );
        budget.authenticated.cancel_slowest();
        assert!(quick.cut().is_cancelled());
    }

    #[tokio::test]
    async fn nobody_is_cut_who_has_not_had_time() {
        let budget = budget();
        let young = budget.reserve(true, 300 * KIB).await;
        budget.authenticated.cancel_slowest();
        assert!(!young.cut().is_cancelled());
    }

    #[tokio::test]
    async fn slow_sender_is_cut_while_another_waits() {
        let budget =
            MemoryBudget::with_stall_timeout(4 * 100 * KIB as u64, Duration::from_millis(1));
        let slow = budget.reserve(true, 300 * KIB).await;
        let waiting = tokio::spawn(budget.reserve(true, KIB));
        soon(slow.cut().cancelled_owned()).await;
        drop(slow);
        soon(waiting).await.expect("it had its turn");
    }
}
