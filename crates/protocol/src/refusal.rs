//! Refusals: an error code for programs and a message for people.

use super::wire;

pub use wire::refusal::Code;

/// A refused request. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Error code.
    pub code: Code,
    /// What failed and what to do next.
    pub message: String,
    /// Retry delay in milliseconds; 0: a retry cannot succeed.
    pub retry_after_ms: u64,
    /// For pushes: the first push number that was not stored.
    pub push_number: u64,
    /// The expected position: for [`Code::PushOutOfOrder`] the push number, for
    /// [`Code::StaleMembership`] the entry index.
    pub expected: u64,
}

impl Refusal {
    /// Creates a refusal that a retry cannot change.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: 0,
            push_number: 0,
            expected: 0,
        }
    }

    /// The same answer for an unknown account, an unknown device and a wrong signature.
    pub fn not_a_member() -> Self {
        Self::new(
            Code::NotAMember,
            "the device is not a member of this account on this relay; pair it from another device",
        )
    }

    /// Sets the retry delay.
    #[must_use]
    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = retry_after_ms;
        self
    }

    /// Sets the expected position.
    #[must_use]
    pub fn expected(mut self, expected: u64) -> Self {
        self.expected = expected;
        self
    }

    /// Sets the first push number that was not stored.
    #[must_use]
    pub fn push_number(mut self, push_number: u64) -> Self {
        self.push_number = push_number;
        self
    }
}

impl From<Refusal> for wire::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.into(),
            message: refusal.message,
            retry_after_ms: refusal.retry_after_ms,
            push_number: refusal.push_number,
            expected: refusal.expected,
        }
    }
}

impl From<wire::Refusal> for Refusal {
    fn from(refusal: wire::Refusal) -> Self {
        Self {
            code: refusal.code(),
            message: refusal.message,
            retry_after_ms: refusal.retry_after_ms,
            push_number: refusal.push_number,
            expected: refusal.expected,
        }
    }
}

/// Returns the WebSocket close code (RFC 6455, section 7.4) after this refusal; `None` keeps the
/// connection open.
pub const fn close_code(code: Code) -> Option<u16> {
    Some(match code {
        Code::Malformed | Code::UnexpectedFrame => 4400,
        Code::NotAMember => 4401,
        Code::DeviceRemoved => 4403,
        Code::VersionUnsupported => 4406,
        Code::Timeout => 4408,
        Code::AccountDeleted => 4410,
        Code::WrongHost => 4421,
        Code::RegistrationClosed | Code::InviteRequired => 4423,
        Code::RendezvousNotFound => 4404,
        Code::FrameTooLarge => 1009,
        Code::Restarting => 1012,
        Code::Overloaded => 1013,
        _ => return None,
    })
}
