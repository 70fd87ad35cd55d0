//! What goes on while the relay runs: files that change, certificates that come to their end.

use std::time::Duration;

use super::{Source, Tls};

/// How soon a changed file is noticed. Reading two small files costs nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// An hour of polls: so often the end of a certificate is compared with the clock, which may have
/// been set since.
const POLLS_PER_CHECK: u32 = 720;

impl Tls {
    /// Never returns. It is run beside the accept loop.
    pub(crate) async fn watch_certificate(&self) {
        if let Source::Acme(acme) = &self.inner.source {
            return self.run_renewal(acme).await;
        }
        let mut polls: u32 = 0;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            polls = (polls + 1) % POLLS_PER_CHECK;
            let (tls, check) = (self.clone(), polls == 0);
            // A disk that does not answer must not hold up a thread that others wait for.
            let _ = tokio::task::spawn_blocking(move || tls.poll_files(check)).await;
        }
    }

    fn poll_files(&self, check: bool) {
        let Source::Files(files) = &self.inner.source else {
            return;
        };
        match files.read_if_changed() {
            // What is wrong stands in the status and, once, in the log.
            Some(loaded) => drop(self.install(loaded)),
            // A newcomer that does not serve stays the trouble until it is mended.
            None if check && files.read().is_ok() => self.check_certificate(),
            None => {}
        }
    }
}
