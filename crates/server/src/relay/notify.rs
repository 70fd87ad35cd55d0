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
    pub(super) fn notify(&self, stir: &AccountChange) {
        if let Some(account) = self.lock().get(&stir.account) {
            account.send_modify(|news| {
                news.head = stir.head;
                news.membership_count = stir.membership_count;
                news.revision += u64::from(stir.needs_refetch);
            });
        }
    }

    /// Subscribes to an account until dropped.
    pub(super) fn subscribe(self: &Arc<Self>, account: AccountNumber) -> Subscription {
        let news = Some(self.lock().entry(account).or_default().subscribe());
        Subscription {
            subscriptions: self.clone(),
            account,
            news,
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
    news: Option<watch::Receiver<AccountVersion>>,
}

impl Subscription {
    /// Returns the next version. Several changes may arrive as one.
    pub(super) async fn next(&mut self) -> AccountVersion {
        // The sender stays in the map as long as this subscription.
        if let Some(news) = &mut self.news
            && news.changed().await.is_ok()
        {
            return *news.borrow_and_update();
        }
        std::future::pending().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut accounts = self.subscriptions.lock();
        // Under the lock, so that exactly one of two concurrent drops removes the entry.
        drop(self.news.take());
        if accounts
            .get(&self.account)
            .is_some_and(|account| account.receiver_count() == 0)
        {
            accounts.remove(&self.account);
        }
    }
}
