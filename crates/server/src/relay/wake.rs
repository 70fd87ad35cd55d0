//! Wake-ups: a session hears that its account changed, and looks. No envelope passes here, so a
//! slow device costs nothing but its own place in a map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use graceful_rules::AccountNumber;
use graceful_rules::change::News;
use graceful_store::Stir;

/// The accounts that somebody listens to.
#[derive(Default)]
pub(super) struct Wakes {
    accounts: Mutex<HashMap<AccountNumber, watch::Sender<News>>>,
}

impl Wakes {
    /// Tells an account's sessions.
    pub(super) fn stir(&self, stir: &Stir) {
        if let Some(account) = self.lock().get(&stir.account) {
            account.send_modify(|news| {
                news.head = stir.head;
                news.membership_count = stir.membership_count;
                news.turns += u64::from(stir.turned);
            });
        }
    }

    /// Listens to an account until dropped.
    pub(super) fn listen(self: &Arc<Self>, account: AccountNumber) -> Listener {
        let news = Some(self.lock().entry(account).or_default().subscribe());
        Listener {
            wakes: self.clone(),
            account,
            news,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountNumber, watch::Sender<News>>> {
        self.accounts.lock().expect("nobody panics holding it")
    }
}

/// One session's ear.
pub(super) struct Listener {
    wakes: Arc<Wakes>,
    account: AccountNumber,
    /// There until it is dropped.
    news: Option<watch::Receiver<News>>,
}

impl Listener {
    /// The next news. Several changes may come as one.
    pub(super) async fn next(&mut self) -> News {
        // The sender lives in the map as long as this listener does.
        if let Some(news) = &mut self.news
            && news.changed().await.is_ok()
        {
            return *news.borrow_and_update();
        }
        std::future::pending().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut accounts = self.wakes.lock();
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
