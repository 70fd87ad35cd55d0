//! Wake-ups: a session hears that its account changed, and looks. No envelope passes here, so a
//! slow device costs nothing but its own place in a map.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use graceful_rules::AccountNumber;
use graceful_rules::command::AccountVersion;
use graceful_store::AccountChange;

/// The accounts that somebody listens to.
#[derive(Default)]
pub(super) struct Subscriptions {
    accounts: Mutex<HashMap<AccountNumber, watch::Sender<AccountVersion>>>,
}

impl Subscriptions {
    /// Tells an account's sessions.
    pub(super) fn notify(&self, stir: &AccountChange) {
        if let Some(account) = self.lock().get(&stir.account) {
            account.send_modify(|news| {
                news.head = stir.head;
                news.membership_count = stir.membership_count;
                news.revision += u64::from(stir.needs_refetch);
            });
        }
    }

    /// Listens to an account until dropped.
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

/// One session's ear.
pub(super) struct Subscription {
    subscriptions: Arc<Subscriptions>,
    account: AccountNumber,
    /// There until it is dropped.
    news: Option<watch::Receiver<AccountVersion>>,
}

impl Subscription {
    /// The next news. Several changes may come as one.
    pub(super) async fn next(&mut self) -> AccountVersion {
        // The sender lives in the map as long as this listener does.
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
        // Under the lock, so that of two that leave together one is the last.
        drop(self.news.take());
        if accounts
            .get(&self.account)
            .is_some_and(|account| account.receiver_count() == 0)
        {
            accounts.remove(&self.account);
        }
    }
}
