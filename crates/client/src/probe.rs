//! Dialling a relay only to hear who it is, as its operator does to see whether devices can.

use std::time::Duration;

use super::connection::Connection;
use graceful_protocol::RelayId;
use graceful_protocol::frame::RelayFrame;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// For the greeting, once the connection stands.
const GREETING_WAIT: Duration = Duration::from_secs(10);

/// How a relay greets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayInfo {
    /// Which relay it is.
    pub relay_id: RelayId,
    /// Milliseconds since 1970, as it believes.
    pub time_ms: u64,
    /// What it says that it is.
    pub software: String,
}

/// Dials a relay as a device would, hears its greeting, and leaves.
///
/// # Errors
/// In words, with what to do where that is known.
pub async fn fetch_greeting(url: &str, options: &ConnectOptions) -> Result<RelayInfo, String> {
    let address = Address::parse(url, options).map_err(|error| error.to_string())?;
    let mut connection = Connection::dial(address).await?;
    let frame = tokio::time::timeout(GREETING_WAIT, connection.receive()).await;
    connection.close().await;
    match frame {
        Ok(Ok(RelayFrame::Greeting(greeting))) => Ok(RelayInfo {
            relay_id: RelayId::try_from(&*greeting.relay_id).map_err(|error| error.to_string())?,
            time_ms: greeting.time_ms,
            software: greeting.software,
        }),
        Ok(Ok(_)) => Err("what answers there does not greet as a relay does".to_owned()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!(
            "it said nothing within {} seconds",
            GREETING_WAIT.as_secs()
        )),
    }
}
