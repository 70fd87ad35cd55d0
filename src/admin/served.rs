//! What an operator's questions are about.

use crate::http::tls::Tls;
use crate::relay::Relay;

/// A relay, and its TLS if it has its own.
#[derive(Clone)]
pub struct Served {
    pub(super) relay: Relay,
    pub(super) tls: Option<Tls>,
    /// Reads the settings again.
    reread: Option<Reread>,
}

/// What reads the settings again: in words, what came of it.
pub type Reread = std::sync::Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

impl Served {
    /// Both.
    pub fn new(relay: Relay, tls: Option<Tls>) -> Self {
        Self { relay, tls, reread: None }
    }

    /// With what reads the settings again.
    #[must_use]
    pub fn rereading(mut self, reread: Reread) -> Self {
        self.reread = Some(reread);
        self
    }

    /// Names and numbers of both, in one list.
    #[cfg(unix)]
    pub(super) fn status(&self) -> Result<serde_json::Value, String> {
        let relay = self.relay.status().map_err(|error| error.to_string())?;
        let mut status = serde_json::to_value(relay).map_err(|error| error.to_string())?;
        let tls = self.tls.as_ref().map(|tls| serde_json::to_value(tls.status()));
        if let (Some(status), Some(Ok(serde_json::Value::Object(tls)))) = (status.as_object_mut(), tls) {
            status.extend(tls);
        }
        Ok(status)
    }

    /// What can be read again without a restart.
    ///
    /// # Errors
    /// What is wrong; what was in use stays so.
    pub fn reload(&self) -> Result<String, String> {
        let settings = self.reread.as_ref().map(|reread| reread()).transpose()?;
        let certificate = self.reload_certificate()?;
        Ok(settings.map_or(certificate.clone(), |settings| format!("{settings}; {certificate}")))
    }

    fn reload_certificate(&self) -> Result<String, String> {
        match &self.tls {
            Some(tls) => {
                tls.reload().map_err(|error| format!("{error}; the old certificate is still in use"))
            }
            None => Ok("this relay has no TLS of its own; there is nothing to read again".to_owned()),
        }
    }
}

impl From<Relay> for Served {
    fn from(relay: Relay) -> Self {
        Self::new(relay, None)
    }
}
