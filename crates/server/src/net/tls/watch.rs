//! Watches certificate files and expiry.

use std::time::Duration;

use super::{Source, Tls};

/// How soon a changed file is noticed.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Polls between two checks of the expiry, an hour: the clock may have been set since.
const POLLS_PER_CHECK: u32 = 720;

impl Tls {
    /// Never returns. Runs beside the accept loop.
    pub(crate) async fn watch_certificate(&self) {
        if let Source::Acme(acme) = &self.inner.source {
            return self.run_renewal(acme).await;
        }
        let mut polls: u32 = 0;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            polls = (polls + 1) % POLLS_PER_CHECK;
            let (tls, check) = (self.clone(), polls == 0);
            // On a blocking thread: a hanging disk must not block others.
            let _ = tokio::task::spawn_blocking(move || tls.poll_files(check)).await;
        }
    }

    fn poll_files(&self, check: bool) {
        let Source::Files(files) = &self.inner.source else {
            return;
        };
        match files.read_if_changed() {
            // The problem is in the status and, once, in the log.
            Some(loaded) => drop(self.install(loaded)),
            // The problem of an unusable replacement stays until it is fixed.
            None if check && files.read().is_ok() => self.check_certificate(),
            None => {}
        }
    }
}
