//! What goes on while the relay runs: files that change, certificates that come to their end.

use std::time::Duration;

use super::{Source, Tls};

/// How soon a changed file is noticed. Reading two small files costs nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// An hour of looks: so often the end of a certificate is compared with the clock, which may have
/// been set since.
const LOOKS_BETWEEN_JUDGEMENTS: u32 = 720;

impl Tls {
    /// Never returns. It is run beside the accept loop.
    pub(in crate::http) async fn keep_watch(&self) {
        if let Source::Acme(acme) = &self.inner.source {
            return self.keep_certificate(acme).await;
        }
        let mut looks: u32 = 0;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            looks = (looks + 1) % LOOKS_BETWEEN_JUDGEMENTS;
            let (tls, judge) = (self.clone(), looks == 0);
            // A disk that does not answer must not hold up a thread that others wait for.
            let _ = tokio::task::spawn_blocking(move || tls.look(judge)).await;
        }
    }

    fn look(&self, judge: bool) {
        let Source::Files(files) = &self.inner.source else {
            return;
        };
        match files.read_if_changed() {
            // What is wrong stands in the status and, once, in the log.
            Some(loaded) => drop(self.take(loaded)),
            // A newcomer that does not serve stays the trouble until it is mended.
            None if judge && files.read().is_ok() => self.judge(),
            None => {}
        }
    }
}
