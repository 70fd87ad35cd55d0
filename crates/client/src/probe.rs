//! Probing a relay: dials it and reads its greeting.

use std::time::Duration;

use crate::connection::Connection;
use graceful_protocol::RelayId;
use graceful_protocol::frame::RelayFrame;
use graceful_raw_client::dial::{Address, ConnectOptions};

/// Longest wait for the greeting.
const GREETING_WAIT: Duration = Duration::from_secs(10);

/// A relay's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayInfo {
    /// The relay's id.
    pub relay_id: RelayId,
    /// The relay's clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// The relay's software name and version.
    pub software: String,
}

/// Connects to a relay like a device, reads its greeting, and disconnects.
///
/// # Errors
/// A human-readable cause.
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
        Ok(Ok(_)) => Err("not a relay: unexpected first frame".to_owned()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!(
            "no greeting within {} seconds",
            GREETING_WAIT.as_secs()
        )),
    }
}
