//! What one account, one address and all newcomers together may take, beyond what the store counts.
//! The rules say how often; here are the clock and the lock.

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

use graceful_protocol::{Code, Refusal};
use graceful_rules::AccountNumber;
use graceful_rules::admission::Address;
use graceful_rules::rate::{Gcra, KeyedLimiter, RateLimit};

/// Addresses, and accounts, that are remembered.
const KEYS_MAX: usize = 16_384;

/// How long an account's devices may have to wait for its pace, in milliseconds. Shorter than any
/// heartbeat.
const PAUSE_MS_MAX: u64 = 5_000;

/// How long to wait before genesis on a relay that is full, in milliseconds.
const FULL_RETRY_MS: u64 = 60_000;

/// How much of the relay one account, one address and all newcomers together may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Conversations of one account at a time.
    pub account_connections_max: usize,
    /// Frames from one account. Faster ones are read later.
    pub account_frames: RateLimit,
    /// Bytes from one account. More are read later.
    pub account_bytes: RateLimit,
    /// Tries to found an account from one address.
    pub address_new_accounts: RateLimit,
    /// Accounts founded by everybody together.
    pub accounts: RateLimit,
    /// With more conversations than this nobody founds an account: the rest is for those who have one.
    pub create_account_connections_max: u64,
    /// Tries to join a rendezvous from one address.
    pub address_joins: RateLimit,
    /// Rendezvous slots at a time.
    pub rendezvous_slots_max: usize,
    /// Those of one account.
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

/// Who took how much of late.
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

    /// Counts what an account sent, and says how long not to read on.
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

    /// Whether somebody from here may try to found an account, beside so many conversations.
    pub(super) fn check_create_account(
        &self,
        from: Option<Address>,
        connections: u64,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if connections > self.create_account_connections_max {
            let text =
                "this relay has hardly room for more devices; try again later, or on another relay";
            return Err(Refusal::new(Code::Overloaded, text).retry_after_ms(FULL_RETRY_MS));
        }
        let mut state = self.lock();
        let too_many = |text: &str| {
            let refusal = Refusal::new(Code::Overloaded, text);
            move |wait_ms| refusal.retry_after_ms(wait_ms)
        };
        // Looked at, not taken: tries that come to nothing must not use up what others may found.
        let mut accounts = state.accounts;
        let all = accounts.take(&self.accounts, 1, now_ms);
        all.map_err(too_many(
            "too many accounts were founded on this relay within the hour; try again later",
        ))?;
        let Some(from) = from else { return Ok(()) };
        let own = state.address_new_accounts.take(from, 1, now_ms);
        own.map_err(too_many(
            "too many accounts were founded from this address within the hour; try again later",
        ))
    }

    /// An account was founded.
    pub(super) fn on_account_created(&self, now_ms: u64) {
        let accounts = self.accounts;
        self.lock().accounts.charge(&accounts, 1, now_ms, u64::MAX);
    }

    /// Whether somebody from here may try to join a rendezvous.
    pub(super) fn check_join(&self, from: Option<Address>, now_ms: u64) -> Result<(), Refusal> {
        let Some(from) = from else { return Ok(()) };
        self.lock()
            .address_joins
            .take(from, 1, now_ms)
            .map_err(|wait_ms| {
                let text = "too many pairings were tried from this address; try again later";
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
            .expect("nothing was founded yet");
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
