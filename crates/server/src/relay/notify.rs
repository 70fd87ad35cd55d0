//! Subscriptions to accounts. A notification carries no envelope, so a slow device costs one entry
//! in a map.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use graceful_rules::AccountNumber;
use graceful_rules::command::AccountVersion;
use graceful_store::AccountChange;

/// The accounts that sessions subscribe to.
#[derive(Default)]
pub(super) struct Subscriptions {
    accounts: Mutex<HashMap<AccountNumber, watch::Sender<AccountVersion>>>,
}

impl Subscriptions {
    /// Notifies the sessions of an account.
    pub(super) fn notify(&self, change: &AccountChange) {
        if let Some(account) = self.lock().get(&change.account) {
            account.send_modify(|version| {
                version.head = change.head;
                version.membership_count = change.membership_count;
                version.revision += u64::from(change.needs_refetch);
            });
        }
    }

    /// Subscribes to an account until dropped.
    pub(super) fn subscribe(self: &Arc<Self>, account: AccountNumber) -> Subscription {
        let version = Some(self.lock().entry(account).or_default().subscribe());
        Subscription {
            subscriptions: self.clone(),
            account,
            version,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountNumber, watch::Sender<AccountVersion>>> {
        self.accounts.lock()
    }
}

/// The subscription of one session.
pub(super) struct Subscription {
    subscriptions: Arc<Subscriptions>,
    account: AccountNumber,
    /// `None` only while dropping.
    version: Option<watch::Receiver<AccountVersion>>,
}

impl Subscription {
    /// Returns the next version. Several changes may arrive as one.
    pub(super) async fn next(&mut self) -> AccountVersion {
        // The sender stays in the map as long as this subscription.
        if let Some(version) = &mut self.version
            && version.changed().await.is_ok()
        {
            return *version.borrow_and_update();
        }
        std::future::pending().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut accounts = self.subscriptions.lock();
        // Under the lock, so that exactly one of two concurrent drops removes the entry.
        drop(self.version.take());
        if accounts
            .get(&self.account)
            .is_some_and(|account| account.receiver_count() == 0)
        {
            accounts.remove(&self.account);
        }
    }
}
