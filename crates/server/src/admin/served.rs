//! What an operator's questions are about.

use std::sync::Arc;

use super::Recorder;
use super::overview::About;
use crate::http::tls::Tls;
use crate::relay::Relay;

/// A relay, and what stands around it.
#[derive(Clone)]
pub struct Served {
    pub(super) relay: Relay,
    pub(super) tls: Option<Tls>,
    pub(super) about: Option<Arc<About>>,
    pub(super) recorder: Option<Recorder>,
    /// Reads the settings again.
    reread: Option<Reread>,
}

/// What reads the settings again: in words, what came of it.
pub type Reread = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

impl Served {
    /// A relay, and its TLS if it has its own.
    pub fn new(relay: Relay, tls: Option<Tls>) -> Self {
        Self {
            relay,
            tls,
            about: None,
            recorder: None,
            reread: None,
        }
    }

    /// With what reads the settings again.
    #[must_use]
    pub fn rereading(mut self, reread: Reread) -> Self {
        self.reread = Some(reread);
        self
    }

    /// And what the process knows of its surroundings.
    #[must_use]
    pub fn about(mut self, about: About, recorder: Recorder) -> Self {
        if let Some(backup) = super::last_backup(&about.folder) {
            self.relay
                .metrics()
                .backed_up(backup.at_s().unwrap_or(0), backup.bytes);
        }
        self.about = Some(Arc::new(about));
        self.recorder = Some(recorder);
        self
    }

    /// What can be read again without a restart.
    ///
    /// # Errors
    /// What is wrong; what was in use stays so.
    pub fn reload(&self) -> Result<String, String> {
        let settings = self.reread.as_ref().map(|reread| reread()).transpose()?;
        let certificate = self.reload_certificate()?;
        Ok(settings.map_or(certificate.clone(), |settings| {
            format!("{settings}; {certificate}")
        }))
    }

    fn reload_certificate(&self) -> Result<String, String> {
        match &self.tls {
            Some(tls) => tls
                .reload()
                .map_err(|error| format!("{error}; the old certificate is still in use")),
            None => Ok(
                "this relay has no TLS of its own; there is no certificate to read again"
                    .to_owned(),
            ),
        }
    }
}

mod answers {
    use super::Served;
    use crate::admin::clocks::clock_ms;
    use crate::admin::overview::Overview;
    use crate::admin::{Answer, Backup, note_backup};
    use crate::http::tls::Tls;
    use crate::relay::Cause;
    use graceful_protocol::AccountId;
    use graceful_rules::Quota;
    use graceful_rules::roll::Page;

    /// A jump of the clock is told for so long, in milliseconds.
    const JUMP_TOLD_MS: u64 = 24 * 60 * 60 * 1_000;

    impl Served {
        /// Names and numbers, in one list.
        pub(in crate::admin) async fn status(&self) -> Result<serde_json::Value, String> {
            let mut overview = self.overview().await?;
            overview.judge();
            serde_json::to_value(overview).map_err(|error| error.to_string())
        }

        async fn overview(&self) -> Result<Overview, String> {
            let status = self.relay.status().map_err(|error| error.to_string())?;
            let (holdings, oldest) = self
                .relay
                .holdings()
                .await
                .map_err(|error| error.to_string())?;
            let mut causes = self.relay.conditions().now();
            if holdings.short_of_room {
                causes.insert(Cause::ShortOfRoom);
            }
            let mut overview = Overview {
                state: state(&causes).to_owned(),
                causes: causes.iter().map(|cause| cause.text().to_owned()).collect(),
                relay_id: Some(self.relay.terms().relay_id.to_string()),
                uptime_s: self.relay.uptime().as_secs(),
                connections: status.connections,
                accounts: status.accounts,
                envelopes: status.envelopes,
                oldest_envelope_s: oldest.map(|age| age.as_secs()),
                retention_s: Some(self.relay.terms().limits.retention_s.into()),
                kept_bytes: holdings.kept_bytes,
                file_bytes: holdings.file_bytes,
                free_bytes: holdings.free_bytes,
                free_bytes_min: holdings.free_bytes_min,
                tls: self.tls.as_ref().map(Tls::status),
                ..Overview::default()
            };
            overview.look_at_process();
            if let Some(about) = &self.about {
                overview.look_into(about);
            }
            let jump = self
                .recorder
                .as_ref()
                .and_then(crate::admin::Recorder::jump);
            let lately =
                jump.filter(|jump| clock_ms().saturating_sub(jump.clock_ms) < JUMP_TOLD_MS);
            overview.clock_jumped_s = lately.map(|jump| jump.by_ms / 1_000);
            Ok(overview)
        }

        pub(in crate::admin) async fn roll(&self, page: Page) -> Answer {
            match self.relay.roll(page).await {
                Ok(listed) => Answer::Accounts(listed),
                Err(error) => Answer::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn account(&self, letters: String) -> Answer {
            match self.relay.account(letters).await {
                Ok(Ok(detail)) => Answer::Account(Box::new(detail)),
                Ok(Err(text)) => Answer::Error(text),
                Err(error) => Answer::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn set_quota(&self, account: &str, quota: Quota) -> Answer {
            let Ok(account) = account.parse::<AccountId>() else {
                return not_an_account();
            };
            match self.relay.set_quota(account, quota).await {
                Ok(true) => Answer::QuotaSet,
                Ok(false) => not_an_account(),
                Err(error) => Answer::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn evict(&self, account: &str) -> Answer {
            let Ok(account) = account.parse::<AccountId>() else {
                return not_an_account();
            };
            match self.relay.evict(account).await {
                Ok(Some(envelopes)) => Answer::Deleted { envelopes },
                Ok(None) => not_an_account(),
                Err(error) => Answer::Error(error.to_string()),
            }
        }

        /// A backup was made and is good.
        pub(in crate::admin) async fn note_backup(&self, backup: Backup) -> Answer {
            let Some(folder) = self.about.as_ref().map(|about| about.folder.clone()) else {
                return Answer::Error("this relay keeps no note of backups".to_owned());
            };
            self.relay
                .metrics()
                .backed_up(backup.at_s().unwrap_or(0), backup.bytes);
            let noted = tokio::task::spawn_blocking(move || note_backup(&folder, &backup)).await;
            match noted.unwrap_or_else(|error| Err(error.into())) {
                Ok(()) => Answer::Noted,
                Err(error) => Answer::Error(format!("the backup could not be noted: {error}")),
            }
        }

        /// Everything up to now is in the record of uptime.
        pub(in crate::admin) async fn note(&self) -> Answer {
            match &self.recorder {
                Some(recorder) => {
                    recorder.note().await;
                    Answer::Noted
                }
                None => Answer::Error("this relay keeps no record of its uptime".to_owned()),
            }
        }
    }

    fn not_an_account() -> Answer {
        Answer::Error(
            "there is no such account here; it may have been closed a moment ago".to_owned(),
        )
    }

    fn state(causes: &crate::relay::Causes) -> &'static str {
        let is = |cause| causes.contains(&cause);
        match () {
            () if is(Cause::CommitFailed) || is(Cause::CanaryFailed) => "failing",
            () if is(Cause::Draining) => "draining",
            () if is(Cause::ShortOfRoom) => "short_of_room",
            () => "ready",
        }
    }
}

impl From<Relay> for Served {
    fn from(relay: Relay) -> Self {
        Self::new(relay, None)
    }
}
