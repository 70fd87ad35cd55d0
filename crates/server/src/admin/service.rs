//! The service behind the admin socket.

use std::sync::Arc;

use super::status_report::ServerInfo;
use crate::net::tls::Tls;
use crate::observe::Recorder;
use crate::relay::Relay;

/// A relay with its TLS, its configuration and its uptime recorder.
#[derive(Clone)]
pub struct AdminService {
    pub(super) relay: Relay,
    pub(super) tls: Option<Tls>,
    pub(super) about: Option<Arc<ServerInfo>>,
    pub(super) recorder: Option<Recorder>,
    /// Reloads the settings.
    reloader: Option<Reloader>,
}

/// Reloads the settings and returns a message for the operator.
pub type Reloader = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

impl AdminService {
    /// Creates the service and lets readiness check the certificate.
    pub fn new(relay: Relay, tls: Option<Tls>) -> Self {
        if let Some(tls) = &tls {
            tls.report_to(relay.readiness());
        }
        Self {
            relay,
            tls,
            about: None,
            recorder: None,
            reloader: None,
        }
    }

    /// Adds a reloader for the settings.
    #[must_use]
    pub fn with_reloader(mut self, reloader: Reloader) -> Self {
        self.reloader = Some(reloader);
        self
    }

    /// Adds the environment and the uptime recorder.
    #[must_use]
    pub fn about(mut self, about: ServerInfo, recorder: Recorder) -> Self {
        if let Some(backup) = super::last_backup(&about.folder) {
            self.relay
                .metrics()
                .record_backup(backup.at_s().unwrap_or(0), backup.bytes);
        }
        self.about = Some(Arc::new(about));
        self.recorder = Some(recorder);
        self
    }

    /// Reloads what can change without a restart.
    ///
    /// # Errors
    /// The cause; the old settings or certificate stay in use.
    pub fn reload(&self) -> Result<String, String> {
        let settings = self
            .reloader
            .as_ref()
            .map(|reloader| reloader())
            .transpose()?;
        let certificate = self.reload_certificate()?;
        Ok(settings.map_or(certificate.clone(), |settings| {
            format!("{settings}; {certificate}")
        }))
    }

    fn reload_certificate(&self) -> Result<String, String> {
        match &self.tls {
            Some(tls) => tls
                .reload()
                .map_err(|error| format!("{error}; the old certificate stays in use")),
            None => Ok("this relay has no TLS of its own; no certificate to reload".to_owned()),
        }
    }
}

mod answers {
    use super::AdminService;
    use crate::admin::status_report::StatusReport;
    use crate::admin::{AdminResponse, Backup, record_backup};
    use crate::net::tls::Tls;
    use crate::observe::clock_ms;
    use graceful_protocol::AccountId;
    use graceful_rules::Quota;
    use graceful_rules::account_list::ListRequest;

    /// How long a jump of the clock is reported, in milliseconds.
    const JUMP_TOLD_MS: u64 = 24 * 60 * 60 * 1_000;

    impl AdminService {
        /// Returns the status report as JSON.
        pub(in crate::admin) async fn status(&self) -> Result<serde_json::Value, String> {
            let mut report = self.report().await?;
            report.add_warnings();
            serde_json::to_value(report).map_err(|error| error.to_string())
        }

        async fn report(&self) -> Result<StatusReport, String> {
            let status = self.relay.status().map_err(|error| error.to_string())?;
            let (disk_usage, oldest) = self
                .relay
                .disk_usage()
                .await
                .map_err(|error| error.to_string())?;
            let reasons = self.relay.readiness().reasons();
            let mut report = StatusReport {
                state: reasons
                    .first()
                    .map_or("ready", |reason| reason.code())
                    .to_owned(),
                not_ready_reasons: reasons
                    .iter()
                    .map(|reason| reason.code().to_owned())
                    .collect(),
                not_ready_messages: reasons
                    .iter()
                    .map(|reason| reason.message().to_owned())
                    .collect(),
                relay_id: Some(self.relay.session_config().relay_id.to_string()),
                uptime_s: self.relay.uptime().as_secs(),
                connections: status.connections,
                accounts: status.accounts,
                envelopes: status.envelopes,
                oldest_envelope_s: oldest.map(|age| age.as_secs()),
                retention_s: Some(self.relay.session_config().limits.retention_s.into()),
                stored_bytes: disk_usage.stored_bytes,
                file_bytes: disk_usage.file_bytes,
                free_bytes: disk_usage.free_bytes,
                free_bytes_min: disk_usage.free_bytes_min,
                tls: self.tls.as_ref().map(Tls::status),
                ..StatusReport::default()
            };
            report.add_process();
            if let Some(about) = &self.about {
                report.add_server_info(about);
            }
            let jump = self
                .recorder
                .as_ref()
                .and_then(crate::observe::sla::Recorder::jump);
            let lately =
                jump.filter(|jump| clock_ms().saturating_sub(jump.clock_ms) < JUMP_TOLD_MS);
            report.clock_jumped_s = lately.map(|jump| jump.by_ms / 1_000);
            Ok(report)
        }

        pub(in crate::admin) async fn list_accounts(&self, page: ListRequest) -> AdminResponse {
            match self.relay.list_accounts(page).await {
                Ok(listed) => AdminResponse::Accounts(listed),
                Err(error) => AdminResponse::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn account(&self, letters: String) -> AdminResponse {
            match self.relay.account(letters).await {
                Ok(Ok(detail)) => AdminResponse::Account(Box::new(detail)),
                Ok(Err(text)) => AdminResponse::Error(text),
                Err(error) => AdminResponse::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn set_quota(
            &self,
            account: &str,
            quota: Quota,
        ) -> AdminResponse {
            let Ok(account) = account.parse::<AccountId>() else {
                return not_an_account();
            };
            match self.relay.set_quota(account, quota).await {
                Ok(true) => AdminResponse::QuotaSet,
                Ok(false) => not_an_account(),
                Err(error) => AdminResponse::Error(error.to_string()),
            }
        }

        pub(in crate::admin) async fn delete_account(&self, account: &str) -> AdminResponse {
            let Ok(account) = account.parse::<AccountId>() else {
                return not_an_account();
            };
            match self.relay.delete_account(account).await {
                Ok(Some(envelopes)) => AdminResponse::Deleted { envelopes },
                Ok(None) => not_an_account(),
                Err(error) => AdminResponse::Error(error.to_string()),
            }
        }

        /// Records a verified backup.
        pub(in crate::admin) async fn record_backup(&self, backup: Backup) -> AdminResponse {
            let Some(folder) = self.about.as_ref().map(|about| about.folder.clone()) else {
                return AdminResponse::Error("this relay does not record backups".to_owned());
            };
            self.relay
                .metrics()
                .record_backup(backup.at_s().unwrap_or(0), backup.bytes);
            let noted = tokio::task::spawn_blocking(move || record_backup(&folder, &backup)).await;
            match noted.unwrap_or_else(|error| Err(error.into())) {
                Ok(()) => AdminResponse::Noted,
                Err(error) => AdminResponse::Error(format!("recording the backup failed: {error}")),
            }
        }

        /// Writes everything up to now to the uptime log.
        pub(in crate::admin) async fn note(&self) -> AdminResponse {
            match &self.recorder {
                Some(recorder) => {
                    recorder.note().await;
                    AdminResponse::Noted
                }
                None => AdminResponse::Error("this relay has no uptime log".to_owned()),
            }
        }
    }

    fn not_an_account() -> AdminResponse {
        AdminResponse::Error("no such account; it may have been deleted a moment ago".to_owned())
    }
}

impl From<Relay> for AdminService {
    fn from(relay: Relay) -> Self {
        Self::new(relay, None)
    }
}
