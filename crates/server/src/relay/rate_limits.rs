//! Rate limits per account, per address and for new accounts. The algorithm is in `graceful-rules`;
//! the clock and the lock are here.

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

use graceful_protocol::{Code, Refusal};
use graceful_rules::AccountNumber;
use graceful_rules::admission::Address;
use graceful_rules::rate::{Gcra, KeyedLimiter, RateLimit};

/// Addresses and accounts that are tracked.
const KEYS_MAX: usize = 16_384;

/// The longest delay for an account over its rate in milliseconds, shorter than any ping interval.
const PAUSE_MS_MAX: u64 = 5_000;

/// When to retry creating an account on a relay at capacity, in milliseconds.
const FULL_RETRY_MS: u64 = 60_000;

/// Limits per account and per address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Sessions of one account.
    pub account_connections_max: usize,
    /// Frames of one account. Frames above it are read later.
    pub account_frames: RateLimit,
    /// Bytes of one account. Bytes above it are read later.
    pub account_bytes: RateLimit,
    /// Attempts to create an account from one address.
    pub address_new_accounts: RateLimit,
    /// New accounts of all addresses together.
    pub accounts: RateLimit,
    /// Sessions above which no account is created: the rest is reserved for existing accounts.
    pub create_account_connections_max: u64,
    /// Attempts to join a rendezvous from one address.
    pub address_joins: RateLimit,
    /// Rendezvous slots.
    pub rendezvous_slots_max: usize,
    /// Rendezvous slots of one account.
    pub account_rendezvous_slots_max: usize,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            account_connections_max: 64,
            account_frames: RateLimit::per_second(500),
            account_bytes: RateLimit::per_second(8 << 20),
            address_new_accounts: RateLimit::per_hour(20),
            accounts: RateLimit::per_hour(500),
            create_account_connections_max: 1_500,
            address_joins: RateLimit::per_hour(60),
            rendezvous_slots_max: 1_024,
            account_rendezvous_slots_max: 8,
        }
    }
}

struct State {
    account_frames: KeyedLimiter<AccountNumber>,
    account_bytes: KeyedLimiter<AccountNumber>,
    address_new_accounts: KeyedLimiter<Address>,
    accounts: Gcra,
    address_joins: KeyedLimiter<Address>,
}

/// The state of all limits.
pub(super) struct RateLimiter {
    accounts: RateLimit,
    create_account_connections_max: u64,
    state: Mutex<State>,
}

impl RateLimiter {
    pub(super) fn new(limits: &RateLimits) -> Self {
        let state = State {
            account_frames: KeyedLimiter::new(limits.account_frames, KEYS_MAX),
            account_bytes: KeyedLimiter::new(limits.account_bytes, KEYS_MAX),
            address_new_accounts: KeyedLimiter::new(limits.address_new_accounts, KEYS_MAX),
            accounts: Gcra::default(),
            address_joins: KeyedLimiter::new(limits.address_joins, KEYS_MAX),
        };
        Self {
            accounts: limits.accounts,
            create_account_connections_max: limits.create_account_connections_max,
            state: Mutex::new(state),
        }
    }

    /// Charges what an account sent and returns how long to delay the next read.
    pub(super) fn charge(
        &self,
        account: AccountNumber,
        frames: u64,
        bytes: u64,
        now_ms: u64,
    ) -> Duration {
        let mut state = self.lock();
        let frames_ms = state
            .account_frames
            .charge(account, frames, now_ms, PAUSE_MS_MAX);
        let bytes_ms = state
            .account_bytes
            .charge(account, bytes, now_ms, PAUSE_MS_MAX);
        Duration::from_millis(frames_ms.max(bytes_ms))
    }

    /// Checks whether an account may be created from this address.
    pub(super) fn check_create_account(
        &self,
        from: Option<Address>,
        connections: u64,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if connections > self.create_account_connections_max {
            let text = "relay is at capacity and accepts no new accounts; retry later";
            return Err(Refusal::new(Code::Overloaded, text).retry_after_ms(FULL_RETRY_MS));
        }
        let mut state = self.lock();
        let too_many = |text: &str| {
            let refusal = Refusal::new(Code::Overloaded, text);
            move |wait_ms| refusal.retry_after_ms(wait_ms)
        };
        // Checked, not charged: failed attempts must not use up the limit of others.
        let mut accounts = state.accounts;
        let all = accounts.take(&self.accounts, 1, now_ms);
        all.map_err(too_many(
            "too many new accounts on this relay within the hour; retry later",
        ))?;
        let Some(from) = from else { return Ok(()) };
        let own = state.address_new_accounts.take(from, 1, now_ms);
        own.map_err(too_many(
            "too many new accounts from this address within the hour; retry later",
        ))
    }

    /// Charges a created account.
    pub(super) fn on_account_created(&self, now_ms: u64) {
        let accounts = self.accounts;
        self.lock().accounts.charge(&accounts, 1, now_ms, u64::MAX);
    }

    /// Checks whether a rendezvous may be joined from this address.
    pub(super) fn check_join(&self, from: Option<Address>, now_ms: u64) -> Result<(), Refusal> {
        let Some(from) = from else { return Ok(()) };
        self.lock()
            .address_joins
            .take(from, 1, now_ms)
            .map_err(|wait_ms| {
                let text = "too many pairing attempts from this address; retry later";
                Refusal::new(Code::Overloaded, text).retry_after_ms(wait_ms)
            })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<Address> = Some(Address::V6(1));
    const THERE: Option<Address> = Some(Address::V6(2));

    fn limiter(change: impl FnOnce(&mut RateLimits)) -> RateLimiter {
        let mut limits = RateLimits::default();
        change(&mut limits);
        RateLimiter::new(&limits)
    }

    #[test]
    fn tries_to_found_count_for_the_address_and_successes_for_all() {
        let limiter = limiter(|limits| {
            limits.address_new_accounts = RateLimit::per_hour(3);
            limits.accounts = RateLimit::per_hour(2);
        });
        for _ in 0..3 {
            limiter.check_create_account(HERE, 0, 0).expect("allowed");
        }
        let refusal = limiter
            .check_create_account(HERE, 0, 0)
            .expect_err("the fourth try");
        assert_eq!(
            (refusal.code, refusal.retry_after_ms),
            (Code::Overloaded, 20 * 60 * 1_000)
        );
        limiter
            .check_create_account(THERE, 0, 0)
            .expect("no account was created yet");
        limiter.on_account_created(0);
        limiter.on_account_created(0);
        assert!(limiter.check_create_account(THERE, 0, 0).is_err());
        assert!(limiter.check_create_account(None, 0, 0).is_err());
        limiter
            .check_create_account(THERE, 0, 30 * 60 * 1_000)
            .expect("half an hour later");
    }

    #[test]
    fn the_last_connections_are_not_for_new_accounts() {
        let limiter = limiter(|limits| limits.create_account_connections_max = 10);
        limiter.check_create_account(HERE, 10, 0).expect("room");
        assert!(
            limiter
                .check_create_account(HERE, 11, 0)
                .expect_err("reserved")
                .retry_after_ms
                > 0
        );
    }

    #[test]
    fn guessing_at_rendezvous_is_slow() {
        let limiter = limiter(|limits| limits.address_joins = RateLimit::per_hour(2));
        (0..2).for_each(|_| limiter.check_join(HERE, 0).expect("allowed"));
        assert!(limiter.check_join(HERE, 0).is_err());
        limiter.check_join(THERE, 0).expect("another address");
    }

    #[test]
    fn an_account_over_its_pace_is_read_later_and_others_are_not() {
        let limiter = limiter(|limits| limits.account_frames = RateLimit::per_second(10));
        let pace = |account| limiter.charge(AccountNumber(account), 1, 100, 0);
        for _ in 0..100 {
            assert_eq!(pace(1), Duration::ZERO);
        }
        assert_eq!(pace(1), Duration::from_millis(100));
        assert_eq!(pace(2), Duration::ZERO);
        for _ in 0..1_000 {
            pace(1);
        }
        assert_eq!(pace(1), Duration::from_millis(PAUSE_MS_MAX));
    }
}
