//! What came, as one line: JSON for programs and files, words for people.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::trouble::short;
use crate::cli::plain::plain;
use crate::client::{ChangeKind, Gap, Incoming, Position, Received};
use crate::protocol::wire::gap::Reason;

/// The part of a line that says where it belongs.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    history: String,
    seq: u64,
    sender: String,
    push_number: u64,
}

impl From<&Position> for Place {
    fn from(position: &Position) -> Self {
        let Position { history, seq, sender, push_number } = position;
        Self {
            history: history.to_string(),
            seq: *seq,
            sender: sender.to_string(),
            push_number: *push_number,
        }
    }
}

/// The beginning of a change's line; the change itself follows, byte for byte where it is JSON.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    place: Place,
    sender_name: Option<&'a str>,
    device_id: &'a str,
    transaction_id: &'a str,
    kind: &'static str,
}

#[derive(Serialize)]
struct GapLine {
    #[serde(flatten)]
    place: Place,
    gap: GapOf,
}

#[derive(Serialize)]
struct GapOf {
    from: u64,
    through: u64,
    reason: &'static str,
}

/// One line of JSON, without the line's end.
pub(super) fn json(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Change(received) => change(received),
        Incoming::Gap(gap) => {
            let Gap { position, from, through, reason } = gap;
            let gap = GapOf { from: *from, through: *through, reason: why(*reason) };
            encode(&GapLine { place: position.into(), gap })
        }
    }
}

/// The position that a line in a file tells, if it is such a line.
pub(super) fn position(line: &[u8]) -> Option<Position> {
    let place: Place = serde_json::from_slice(line).ok()?;
    Some(Position {
        history: place.history.parse().ok()?,
        seq: place.seq,
        sender: place.sender.parse().ok()?,
        push_number: place.push_number,
    })
}

/// For a person: who, from which device, and as much of the change as fits.
pub(super) fn text(incoming: &Incoming, columns: usize) -> String {
    match incoming {
        Incoming::Change(received) => {
            let unnamed = short(&received.position.sender);
            let name = plain(received.sender_name.as_deref().unwrap_or(&unnamed));
            let head = format!("{name} ({})  ", plain(&received.device_id));
            let content = match std::str::from_utf8(&received.content) {
                Ok(text) => plain(text),
                Err(_) => format!("{} bytes that are not text", received.content.len()),
            };
            let content = content.split_whitespace().collect::<Vec<_>>().join(" ");
            console::truncate_str(&format!("{head}{content}"), columns, "…").into_owned()
        }
        Incoming::Gap(gap) => {
            let (from, through) = (gap.from, gap.through);
            format!("GAP: numbers {from} to {through} are gone ({})", why(gap.reason))
        }
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Expired => "expired",
        Reason::Deleted => "deleted",
        Reason::Unspecified => "unknown",
    }
}

fn change(received: &Received) -> String {
    let head = encode(&Head {
        place: (&received.position).into(),
        sender_name: received.sender_name.as_deref(),
        device_id: &received.device_id,
        transaction_id: &received.transaction_id,
        kind: match received.kind {
            ChangeKind::Change => "change",
            ChangeKind::Snapshot => "snapshot",
        },
    });
    let open = head.strip_suffix('}').unwrap_or(&head);
    format!("{open},{}}}", content(&received.content))
}

/// `"change"` where it is JSON, else `"text"`, else `"base64"`.
fn content(content: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(content) else {
        return format!("\"base64\":\"{}\"", BASE64.encode(content));
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        // A line's end inside JSON is only space between its parts.
        Ok(_) => format!("\"change\":{}", text.trim().replace(['\n', '\r'], " ")),
        Err(_) => format!("\"text\":{}", encode(&text)),
    }
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers always have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{DeviceKey, StoreEpoch};

    fn received(content: &[u8]) -> Incoming {
        let position = Position {
            history: StoreEpoch::new([1; 16]),
            seq: 7,
            sender: DeviceKey::new([2; 32]),
            push_number: 3,
        };
        Incoming::Change(Received {
            position,
            sender_name: Some("Desk \u{1b}[1m".to_owned()),
            device_id: "desk-1".to_owned(),
            transaction_id: "t".to_owned(),
            kind: ChangeKind::Change,
            content: content.to_vec().into(),
            addressed: false,
        })
    }

    #[test]
    fn a_line_keeps_json_byte_for_byte_and_tells_its_position() {
        let change = received(b"{\"b\": 1.10, \"a\":\"\xc3\xbc\"}\r");
        let line = json(&change);
        assert!(line.ends_with(",\"kind\":\"change\",\"change\":{\"b\": 1.10, \"a\":\"ü\"}}"), "{line}");
        assert_eq!(position(line.as_bytes()).as_ref(), Some(change.position()));
        assert!(json(&received(b"hello \"you\"")).ends_with("\"text\":\"hello \\\"you\\\"\"}"));
        assert!(json(&received(&[0xff, 0])).ends_with("\"base64\":\"/wA=\"}"));
        for content in [&b"[1,\n2]"[..], b"x\ny", b"\xff\n"] {
            assert!(!json(&received(content)).contains('\n'));
        }
    }

    #[test]
    fn for_people_it_is_short_and_harmless() {
        assert_eq!(
            text(&received(b"a\n\x1b[2J b"), 100),
            "Desk \u{fffd}[1m (desk-1)  a\u{fffd}\u{fffd}[2J b"
        );
        assert_eq!(text(&received(&[b'x'; 500]), 30).chars().count(), 30);
    }
}
