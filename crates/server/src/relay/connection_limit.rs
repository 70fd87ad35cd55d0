//! The limit of concurrent sessions per account.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;

use graceful_protocol::{Code, Refusal};
use graceful_rules::AccountNumber;

/// When to retry for an account at its limit, in milliseconds: a broken connection frees its permit
/// within about that time.
const RETRY_MS: u64 = 60_000;

/// The permits of all accounts.
pub(super) struct ConnectionLimiter {
    max: usize,
    taken: Mutex<HashMap<AccountNumber, usize>>,
}

impl ConnectionLimiter {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            taken: Mutex::default(),
        })
    }

    /// Acquires a permit, which is held until it is dropped.
    pub(super) fn acquire(
        self: &Arc<Self>,
        account: AccountNumber,
    ) -> Result<ConnectionPermit, Refusal> {
        let mut taken = self.lock();
        let count = taken.entry(account).or_default();
        if *count >= self.max {
            let text = format!(
                "this account has {} connections, the maximum; retry later",
                self.max
            );
            return Err(Refusal::new(Code::Overloaded, text).retry_after_ms(RETRY_MS));
        }
        *count += 1;
        Ok(ConnectionPermit {
            connection_limiter: self.clone(),
            account,
        })
    }

    /// Returns the number of permits an account holds.
    pub(super) fn count(&self, account: AccountNumber) -> usize {
        self.lock().get(&account).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountNumber, usize>> {
        self.taken.lock()
    }
}

/// The permit of one session.
pub(super) struct ConnectionPermit {
    connection_limiter: Arc<ConnectionLimiter>,
    account: AccountNumber,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.connection_limiter.lock();
        if let Some(count) = taken.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_seats_and_gets_them_back() {
        let connection_limiter = ConnectionLimiter::new(2);
        let [one, two] = [1, 1].map(|account| {
            connection_limiter
                .acquire(AccountNumber(account))
                .expect("free")
        });
        let refusal = connection_limiter
            .acquire(AccountNumber(1))
            .map(drop)
            .expect_err("the third");
        assert!(refusal.code == Code::Overloaded && refusal.retry_after_ms > 0);
        let _other = connection_limiter
            .acquire(AccountNumber(2))
            .expect("its own");
        drop(one);
        let three = connection_limiter
            .acquire(AccountNumber(1))
            .expect("free again");
        drop((two, three));
        assert_eq!(connection_limiter.lock().len(), 1);
    }
}
