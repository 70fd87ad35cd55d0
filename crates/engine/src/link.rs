//! The pairing link, transferred between devices as text or QR code.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::keys::PairingSecret;
use crate::rng::{CryptoRng, random};
use graceful_protocol::RendezvousId;

const START: &str = "graceful-relay://pair?";
/// Longest link read from a camera or clipboard.
const LINK_BYTES_MAX: usize = 2_048;

/// A rendezvous and its secret, which the relay does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingLink {
    /// URL of the relay, followed by `#` and its key if it is pinned.
    pub relay: String,
    /// The rendezvous id.
    pub id: RendezvousId,
    /// Valid for one pairing.
    pub secret: PairingSecret,
}

/// Why a text is not a pairing link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    /// It does not start like a link.
    #[error("not a pairing link: it must start with {START}")]
    Start,
    /// A part is missing, repeated or malformed.
    #[error("pairing link is malformed: {0}; copy the whole link again")]
    Part(&'static str),
    /// It is too long.
    #[error("pairing link is too long; copy only the link")]
    TooLong,
}

impl PairingLink {
    /// Creates a link with a fresh rendezvous at a relay.
    pub fn random(relay: impl Into<String>, rng: &mut dyn CryptoRng) -> Self {
        let id = RendezvousId::new(random(rng));
        Self {
            relay: relay.into(),
            id,
            secret: PairingSecret::random(rng),
        }
    }
}

/// The link text. It contains the secret: never log it.
impl fmt::Display for PairingLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = BASE64URL_NOPAD.encode(self.secret.expose());
        write!(
            f,
            "{START}relay={}&id={}&secret={secret}",
            encode(&self.relay),
            self.id
        )
    }
}

impl FromStr for PairingLink {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let text = text.trim();
        if text.len() > LINK_BYTES_MAX {
            return Err(InvalidLink::TooLong);
        }
        let query = text.strip_prefix(START).ok_or(InvalidLink::Start)?;
        let relay = decode(part(query, "relay")?).ok_or(InvalidLink::Part("relay"))?;
        if relay.is_empty() {
            return Err(InvalidLink::Part("relay"));
        }
        let id = part(query, "id")?
            .parse()
            .map_err(|_| InvalidLink::Part("id"))?;
        let secret = BASE64URL_NOPAD
            .decode(part(query, "secret")?.as_bytes())
            .unwrap_or_default();
        let secret = PairingSecret::from_slice(&secret).ok_or(InvalidLink::Part("secret"))?;
        Ok(Self { relay, id, secret })
    }
}

/// Unknown parts are ignored.
fn part<'a>(query: &'a str, name: &'static str) -> Result<&'a str, InvalidLink> {
    let mut values = query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .filter(|part| part.0 == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        _ => Err(InvalidLink::Part(name)),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.1).
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SeededRng;

    proptest! {
        #[test]
        fn link_round_trips(relay in "[ -~äß]{1,80}", seed: u64) {
            let link = PairingLink::random(relay, &mut SeededRng(seed));
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }

        #[test]
        fn parse_arbitrary_text_never_panics(text in ".{0,200}") {
            let _ = format!("{START}relay={text}&id={text}&secret={text}").parse::<PairingLink>();
            let _ = text.parse::<PairingLink>();
        }
    }

    #[test]
    fn malformed_link_names_the_part() {
        let link =
            PairingLink::random("wss://relay.example/a?b&c=d", &mut SeededRng(1)).to_string();
        assert!(link.starts_with(
            "graceful-relay://pair?relay=wss%3A%2F%2Frelay.example%2Fa%3Fb%26c%3Dd&id="
        ));
        assert_eq!(
            "https://example".parse::<PairingLink>(),
            Err(InvalidLink::Start)
        );
        assert_eq!(
            link[..link.len() - 1].parse::<PairingLink>(),
            Err(InvalidLink::Part("secret"))
        );
        assert_eq!(
            link.replace("%2F", "%2").parse::<PairingLink>(),
            Err(InvalidLink::Part("relay"))
        );
        assert_eq!(
            format!("{link}&id=x").parse::<PairingLink>(),
            Err(InvalidLink::Part("id"))
        );
        assert!(format!("  {link}&more=x\n").parse::<PairingLink>().is_ok());
    }
}
