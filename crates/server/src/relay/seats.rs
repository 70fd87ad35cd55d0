//! Seats: how many conversations one account may have at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use graceful_protocol::{Code, Refusal};
use graceful_rules::AccountNumber;

/// How long a device should stay away whose account has no seat left, in milliseconds: one whose
/// connection broke unnoticed gives its seat back within about that.
const RETRY_MS: u64 = 60_000;

/// All seats.
pub(super) struct Seats {
    most: usize,
    taken: Mutex<HashMap<AccountNumber, usize>>,
}

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// Takes one, until it is dropped.
    pub(super) fn take(self: &Arc<Self>, account: AccountNumber) -> Result<Seat, Refusal> {
        let mut taken = self.lock();
        let count = taken.entry(account).or_default();
        if *count >= self.most {
            let text = format!(
                "this account already has {} connections, as many as it may have",
                self.most
            );
            return Err(Refusal::new(Code::Overloaded, text).retry_after_ms(RETRY_MS));
        }
        *count += 1;
        Ok(Seat {
            seats: self.clone(),
            account,
        })
    }

    /// How many an account has taken.
    pub(super) fn taken(&self, account: AccountNumber) -> usize {
        self.lock().get(&account).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountNumber, usize>> {
        self.taken.lock().expect("nobody panics holding it")
    }
}

/// One conversation's seat.
pub(super) struct Seat {
    seats: Arc<Seats>,
    account: AccountNumber,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
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
        let seats = Seats::new(2);
        let [one, two] = [1, 1].map(|account| seats.take(AccountNumber(account)).expect("free"));
        let refusal = seats
            .take(AccountNumber(1))
            .map(drop)
            .expect_err("the third");
        assert!(refusal.code == Code::Overloaded && refusal.retry_after_ms > 0);
        let _other = seats.take(AccountNumber(2)).expect("its own");
        drop(one);
        let three = seats.take(AccountNumber(1)).expect("free again");
        drop((two, three));
        assert_eq!(seats.lock().len(), 1);
    }
}
