//! What is answered when something is not done: a code for programs, a sentence for people.

use super::wire;

pub use wire::refusal::Code;

/// An answer that says no, and leaves everything as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what happened and what to do.
    pub message: String,
    /// When to try again, in milliseconds; 0: trying again will not help.
    pub retry_after_ms: u64,
    /// For pushes: the first push number that was not kept.
    pub push_number: u64,
    /// For [`Code::PushOutOfOrder`] the push number, for [`Code::StaleMembership`] the entry index
    /// that would have been right.
    pub expected: u64,
}

impl Refusal {
    /// One that trying again will not change.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: 0,
            push_number: 0,
            expected: 0,
        }
    }

    /// Unknown account, unknown device, wrong signature: one and the same answer.
    pub fn not_a_member() -> Self {
        Self::new(
            Code::NotAMember,
            "this device is not a member of this account on this relay; pair it from another device",
        )
    }

    /// With a time after which trying again may help.
    #[must_use]
    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = retry_after_ms;
        self
    }

    /// With the position that would have been right.
    #[must_use]
    pub fn expected(mut self, expected: u64) -> Self {
        self.expected = expected;
        self
    }

    /// With the first push number that was not kept.
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

/// The WebSocket close code (RFC 6455, section 7.4) that ends a connection after this refusal, or
/// `None` when the connection goes on.
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
