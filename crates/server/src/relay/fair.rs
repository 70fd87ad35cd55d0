//! What one account, one address and all newcomers together may take, beyond what the store counts.
//! The rules say how often; here are the clock and the lock.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use graceful_protocol::{Code, Refusal};
use graceful_rules::AccountNumber;
use graceful_rules::admission::Address;
use graceful_rules::rate::{Allowance, Rates, Taken};

/// Addresses, and accounts, that are remembered.
const KEYS_MAX: usize = 16_384;

/// How long an account's devices may have to wait for its pace, in milliseconds. Shorter than any
/// heartbeat.
const PAUSE_MS_MAX: u64 = 5_000;

/// How long to wait before founding on a relay that is full, in milliseconds.
const FULL_RETRY_MS: u64 = 60_000;

/// How much of the relay one account, one address and all newcomers together may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fairness {
    /// Conversations of one account at a time.
    pub account_connections_max: usize,
    /// Frames from one account. Faster ones are read later.
    pub account_frames: Allowance,
    /// Bytes from one account. More are read later.
    pub account_bytes: Allowance,
    /// Tries to found an account from one address.
    pub address_accounts: Allowance,
    /// Accounts founded by everybody together.
    pub accounts: Allowance,
    /// With more conversations than this nobody founds an account: the rest is for those who have one.
    pub founding_connections_max: u64,
    /// Tries to join a rendezvous from one address.
    pub address_joins: Allowance,
    /// Rendezvous slots at a time.
    pub rendezvous_slots_max: usize,
    /// Those of one account.
    pub account_rendezvous_slots_max: usize,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            account_connections_max: 64,
            account_frames: Allowance::per_second(500),
            account_bytes: Allowance::per_second(8 << 20),
            address_accounts: Allowance::per_hour(20),
            accounts: Allowance::per_hour(500),
            founding_connections_max: 1_500,
            address_joins: Allowance::per_hour(60),
            rendezvous_slots_max: 1_024,
            account_rendezvous_slots_max: 8,
        }
    }
}

struct State {
    account_frames: Rates<AccountNumber>,
    account_bytes: Rates<AccountNumber>,
    address_accounts: Rates<Address>,
    accounts: Taken,
    address_joins: Rates<Address>,
}

/// Who took how much of late.
pub(super) struct Fair {
    accounts: Allowance,
    founding_connections_max: u64,
    state: Mutex<State>,
}

impl Fair {
    pub(super) fn new(fairness: &Fairness) -> Self {
        let state = State {
            account_frames: Rates::new(fairness.account_frames, KEYS_MAX),
            account_bytes: Rates::new(fairness.account_bytes, KEYS_MAX),
            address_accounts: Rates::new(fairness.address_accounts, KEYS_MAX),
            accounts: Taken::default(),
            address_joins: Rates::new(fairness.address_joins, KEYS_MAX),
        };
        Self {
            accounts: fairness.accounts,
            founding_connections_max: fairness.founding_connections_max,
            state: Mutex::new(state),
        }
    }

    /// Counts what an account sent, and says how long not to read on.
    pub(super) fn pace(
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
    pub(super) fn may_found(
        &self,
        from: Option<Address>,
        connections: u64,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if connections > self.founding_connections_max {
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
        let own = state.address_accounts.take(from, 1, now_ms);
        own.map_err(too_many(
            "too many accounts were founded from this address within the hour; try again later",
        ))
    }

    /// An account was founded.
    pub(super) fn founded(&self, now_ms: u64) {
        let accounts = self.accounts;
        self.lock().accounts.charge(&accounts, 1, now_ms, u64::MAX);
    }

    /// Whether somebody from here may try to join a rendezvous.
    pub(super) fn may_join(&self, from: Option<Address>, now_ms: u64) -> Result<(), Refusal> {
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
        self.state.lock().expect("nobody panics holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<Address> = Some(Address::V6(1));
    const THERE: Option<Address> = Some(Address::V6(2));

    fn fair(change: impl FnOnce(&mut Fairness)) -> Fair {
        let mut fairness = Fairness::default();
        change(&mut fairness);
        Fair::new(&fairness)
    }

    #[test]
    fn tries_to_found_count_for_the_address_and_successes_for_all() {
        let fair = fair(|fairness| {
            fairness.address_accounts = Allowance::per_hour(3);
            fairness.accounts = Allowance::per_hour(2);
        });
        for _ in 0..3 {
            fair.may_found(HERE, 0, 0).expect("allowed");
        }
        let refusal = fair.may_found(HERE, 0, 0).expect_err("the fourth try");
        assert_eq!(
            (refusal.code, refusal.retry_after_ms),
            (Code::Overloaded, 20 * 60 * 1_000)
        );
        fair.may_found(THERE, 0, 0)
            .expect("nothing was founded yet");
        fair.founded(0);
        fair.founded(0);
        assert!(fair.may_found(THERE, 0, 0).is_err());
        assert!(fair.may_found(None, 0, 0).is_err());
        fair.may_found(THERE, 0, 30 * 60 * 1_000)
            .expect("half an hour later");
    }

    #[test]
    fn the_last_connections_are_not_for_new_accounts() {
        let fair = fair(|fairness| fairness.founding_connections_max = 10);
        fair.may_found(HERE, 10, 0).expect("room");
        assert!(
            fair.may_found(HERE, 11, 0)
                .expect_err("reserved")
                .retry_after_ms
                > 0
        );
    }

    #[test]
    fn guessing_at_rendezvous_is_slow() {
        let fair = fair(|fairness| fairness.address_joins = Allowance::per_hour(2));
        (0..2).for_each(|_| fair.may_join(HERE, 0).expect("allowed"));
        assert!(fair.may_join(HERE, 0).is_err());
        fair.may_join(THERE, 0).expect("another address");
    }

    #[test]
    fn an_account_over_its_pace_is_read_later_and_others_are_not() {
        let fair = fair(|fairness| fairness.account_frames = Allowance::per_second(10));
        let pace = |account| fair.pace(AccountNumber(account), 1, 100, 0);
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
