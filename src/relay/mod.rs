//! Stand-in for the relay, only so that the door can be built and tried alone: it greets, refuses
//! whatever comes, and keeps nothing.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::protocol::frame::{RelayFrame, relay_bytes};
use crate::protocol::{Code, Limits, Refusal, close_code, wire};
use crate::store::{Store, StoreError};

/// Who may found an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// What a relay is started with.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// What devices are held to.
    pub limits: Limits,
    /// Who may found an account.
    pub registration: Registration,
    /// The names this relay goes by.
    pub hosts: Hosts,
}

/// The names this relay goes by (lower case); empty: loopback names and addresses only.
#[derive(Debug, Clone, Default)]
pub struct Hosts(HashSet<String>);

impl Hosts {
    /// These names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether the relay goes by this name.
    pub fn contains(&self, host: &str) -> bool {
        self.0.contains(host)
    }
}

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store would not have it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
#[error("no invitation could be made")]
pub struct InviteError;

/// How the relay is doing.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Status {
    /// Conversations going on.
    pub connections: u64,
}

/// What went wrong underneath a conversation.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A message over the limit.
    #[error("a message over the limit")]
    TooLarge,
    /// A message that is not binary.
    #[error("a message that is not binary")]
    NotBinary,
    /// Nothing more can be sent or received.
    #[error("the peer is gone: {0}")]
    Gone(String),
}

/// What a conversation is held over.
pub trait Transport: Send {
    /// The next binary message; `None` when the peer is gone. May be cancelled without loss.
    fn receive(&mut self) -> impl Future<Output = Option<Result<Bytes, TransportError>>> + Send;
    /// Sends one message.
    fn send(&mut self, frame: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;
    /// Says why, and ends it.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}

/// The relay.
#[derive(Clone)]
pub struct Relay {
    limits: Limits,
    registration: Registration,
    connections: Arc<AtomicU64>,
}

impl Relay {
    /// Starts it on a store.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(_store: Store, options: RelayOptions) -> Result<Self, StartError> {
        Ok(Self {
            limits: options.limits,
            registration: options.registration,
            connections: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Runs one conversation until either side ends it.
    pub async fn converse(&self, transport: &mut impl Transport, cancel: CancellationToken) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        if transport.send(self.greeting()).await.is_ok() {
            let refusal = tokio::select! {
                () = cancel.cancelled() => Some(Refusal::new(Code::Restarting, "the relay restarts")),
                received = transport.receive() => match received {
                    Some(Ok(_)) => Some(Refusal::new(Code::Unexpected, "not now")),
                    Some(Err(TransportError::TooLarge)) => Some(Refusal::new(Code::TooLarge, "too large")),
                    Some(Err(TransportError::NotBinary)) => Some(Refusal::new(Code::Malformed, "not binary")),
                    Some(Err(TransportError::Gone(_))) | None => None,
                },
            };
            if let Some(refusal) = refusal {
                let code = close_code(refusal.code).unwrap_or(1011);
                let text = refusal.text.clone();
                let _ = transport.send(relay_bytes(RelayFrame::Refusal(refusal.into()))).await;
                transport.close(code, &text).await;
            }
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// One greeting.
    pub fn greeting(&self) -> Bytes {
        let registration = match self.registration {
            Registration::Open => wire::Registration::Open,
            Registration::Invite => wire::Registration::Invite,
            Registration::Closed => wire::Registration::Closed,
        };
        relay_bytes(RelayFrame::Greeting(wire::Greeting {
            nonce: Bytes::from_static(&[7; 32]),
            limits: Some((&self.limits).into()),
            registration: registration.into(),
            ..Default::default()
        }))
    }

    /// One exchange without a socket.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn exchange(&self, nonce: &[u8], _frames: Vec<Bytes>) -> Result<Vec<Bytes>, Refusal> {
        if nonce == [7; 32] {
            return Err(Refusal::new(Code::Unexpected, "not now"));
        }
        Err(Refusal::not_a_member())
    }

    /// A one-time invitation.
    ///
    /// # Errors
    /// [`InviteError`]
    pub async fn invite(&self, _lifetime: Duration) -> Result<String, InviteError> {
        Ok("stand-in".to_owned())
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        Status { connections: self.connections.load(Ordering::Relaxed) }
    }

    /// Ends it.
    pub async fn stop(self) {}

    /// Resolves if the store failed.
    pub async fn failed(&self) {
        std::future::pending().await
    }
}

/// An invitation made while no relay runs on this folder.
///
/// # Errors
/// [`StartError`] where the store cannot be opened.
pub fn invite_offline(folder: &Path, _lifetime: Duration) -> Result<String, StartError> {
    Store::open(folder, crate::store::Options { cache_bytes: 8 * 1024 * 1024 })?;
    Ok("stand-in".to_owned())
}
