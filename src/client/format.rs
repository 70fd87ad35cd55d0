//! One line per item: JSON for programs and files, text for people.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::devices::short_key;
use crate::sanitize::sanitize;
use graceful_client::{ChangeKind, Gap, GapReason, Incoming, Position, Received};
use graceful_protocol::DeviceKey;

/// The position fields of a line.
#[derive(Debug, Serialize, Deserialize)]
struct JsonPosition {
    #[serde(rename = "history")]
    store_epoch: String,
    seq: u64,
    sender: String,
    push_number: u64,
}

impl From<&Position> for JsonPosition {
    fn from(position: &Position) -> Self {
        let Position {
            store_epoch,
            seq,
            sender,
            push_number,
        } = position;
        Self {
            store_epoch: store_epoch.to_string(),
            seq: *seq,
            sender: sender.to_string(),
            push_number: *push_number,
        }
    }
}

impl JsonPosition {
    fn position(&self) -> Option<Position> {
        Some(Position {
            store_epoch: self.store_epoch.parse().ok()?,
            seq: self.seq,
            sender: self.sender.parse().ok()?,
            push_number: self.push_number,
        })
    }
}

/// The start of a change's line; the payload follows byte for byte if it is JSON. Only changes
/// delivered by the relay have a position.
#[derive(Serialize)]
struct JsonHeader<'a> {
    #[serde(rename = "history", skip_serializing_if = "Option::is_none")]
    store_epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    sender: String,
    push_number: u64,
    sender_name: Option<&'a str>,
    device_id: &'a str,
    transaction_id: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_snapshot: Option<JsonPosition>,
}

#[derive(Serialize)]
struct JsonGapLine {
    #[serde(flatten)]
    place: JsonPosition,
    gap: JsonGap,
}

#[derive(Serialize)]
struct JsonGap {
    from: u64,
    through: u64,
    reason: &'static str,
}

/// A parsed change line.
#[derive(Deserialize)]
pub(super) struct LogLine<'a> {
    sender: String,
    pub(super) push_number: u64,
    sender_name: Option<String>,
    device_id: String,
    transaction_id: String,
    from_snapshot: Option<JsonPosition>,
    #[serde(borrow)]
    change: Option<&'a RawValue>,
    text: Option<String>,
    base64: Option<String>,
}

impl<'a> LogLine<'a> {
    /// Returns `None` if the line is not a change.
    pub(super) fn read(line: &'a str) -> Option<(DeviceKey, Self)> {
        let entry: Self = serde_json::from_str(line).ok()?;
        let has_content = entry.change.is_some() || entry.text.is_some() || entry.base64.is_some();
        let sender = entry
            .sender
            .parse()
            .ok()
            .filter(|_| has_content && entry.push_number > 0)?;
        Some((sender, entry))
    }

    /// Returns the snapshot that contained the change, if any.
    pub(super) fn snapshot(&self) -> Option<Position> {
        self.from_snapshot.as_ref()?.position()
    }

    /// Returns the line marked with its snapshot.
    pub(super) fn with_snapshot(&self, snapshot: &Position) -> String {
        let head = JsonHeader {
            store_epoch: None,
            seq: None,
            sender: self.sender.clone(),
            push_number: self.push_number,
            sender_name: self.sender_name.as_deref(),
            device_id: &self.device_id,
            transaction_id: &self.transaction_id,
            kind: "change",
            from_snapshot: Some(snapshot.into()),
        };
        let content = match (self.change, &self.text, &self.base64) {
            (Some(change), ..) => format!("\"change\":{}", change.get()),
            (None, Some(text), _) => format!("\"text\":{}", encode(text)),
            (None, None, base64) => format!("\"base64\":{}", encode(base64)),
        };
        joined(&head, &content)
    }

    /// Formats the change for a person, like [`text`].
    pub(super) fn text(&self, columns: usize) -> String {
        let name = sanitize(self.sender_name.as_deref().unwrap_or("an unnamed device"));
        let content = match (self.change, &self.text) {
            (Some(change), _) => sanitize(change.get()),
            (None, Some(text)) => sanitize(text),
            (None, None) => "binary data".to_owned(),
        };
        shortened(
            &format!("{name} ({}, from a snapshot)  ", sanitize(&self.device_id)),
            &content,
            columns,
        )
    }
}

/// Formats an item as one line of JSON, without the line end.
pub(super) fn json(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Change(received) => change(received),
        Incoming::Gap(gap) => {
            let Gap {
                position,
                from,
                through,
                reason,
            } = gap;
            let gap = JsonGap {
                from: *from,
                through: *through,
                reason: why(*reason),
            };
            encode(&JsonGapLine {
                place: position.into(),
                gap,
            })
        }
        Incoming::SnapshotRequest { position, .. } => {
            with_place(position, "\"snapshot_request\":true")
        }
    }
}

/// Formats the line that closes a snapshot's changes. Without it they are incomplete.
pub(super) fn snapshot_end(position: &Position, changes: u64) -> String {
    with_place(position, &format!("\"snapshot\":{{\"changes\":{changes}}}"))
}

/// Formats an own change.
pub(super) fn own(device: &DeviceKey, number: u64, names: OwnNames<'_>, content: &[u8]) -> String {
    let head = JsonHeader {
        store_epoch: None,
        seq: None,
        sender: device.to_string(),
        push_number: number,
        sender_name: names.device_name,
        device_id: names.device_id,
        transaction_id: names.transaction_id,
        kind: "change",
        from_snapshot: None,
    };
    joined(&head, &content_of(content))
}

/// The names in an own change's line.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnNames<'a> {
    pub(super) device_name: Option<&'a str>,
    pub(super) device_id: &'a str,
    pub(super) transaction_id: &'a str,
}

/// Parses the position of a line.
pub(super) fn position(line: &[u8]) -> Option<Position> {
    serde_json::from_slice::<JsonPosition>(line)
        .ok()?
        .position()
}

/// Returns whether the line is a snapshot's change, which has no position of its own.
pub(super) fn is_from_snapshot(line: &[u8]) -> bool {
    let line = std::str::from_utf8(line).ok().and_then(LogLine::read);
    line.is_some_and(|(_, entry)| entry.snapshot().is_some())
}

/// Formats an item for a person, truncated to `columns`.
pub(super) fn text(incoming: &Incoming, columns: usize) -> String {
    match incoming {
        Incoming::Change(received) => {
            let unnamed = short_key(&received.position.sender);
            let name = sanitize(received.sender_name.as_deref().unwrap_or(&unnamed));
            let head = format!("{name} ({})  ", sanitize(&received.device_id));
            let content = match std::str::from_utf8(&received.content) {
                Ok(text) => sanitize(text),
                Err(_) => format!("{} bytes of binary data", received.content.len()),
            };
            shortened(&head, &content, columns)
        }
        Incoming::Gap(gap) => {
            let (from, through) = (gap.from, gap.through);
            format!(
                "GAP: seqs {from} to {through} are missing ({})",
                why(gap.reason)
            )
        }
        Incoming::SnapshotRequest { device, .. } => {
            format!("{} requests a snapshot", short_key(device))
        }
    }
}

fn shortened(head: &str, content: &str, columns: usize) -> String {
    let content = content.split_whitespace().collect::<Vec<_>>().join(" ");
    console::truncate_str(&format!("{head}{content}"), columns, "…").into_owned()
}

fn why(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Expired => "expired",
        GapReason::Deleted => "deleted",
        GapReason::Damaged => "damaged",
        GapReason::Unknown => "unknown",
        GapReason::Unfinished => "unfinished",
    }
}

fn change(received: &Received) -> String {
    let Position {
        store_epoch,
        seq,
        sender,
        push_number,
    } = received.position;
    let head = JsonHeader {
        store_epoch: Some(store_epoch.to_string()),
        seq: Some(seq),
        sender: sender.to_string(),
        push_number,
        sender_name: received.sender_name.as_deref(),
        device_id: &received.device_id,
        transaction_id: &received.transaction_id,
        kind: match received.kind {
            ChangeKind::Change => "change",
            ChangeKind::Snapshot => "snapshot",
        },
        from_snapshot: None,
    };
    joined(&head, &content_of(&received.content))
}

fn with_place(position: &Position, more: &str) -> String {
    joined(&JsonPosition::from(position), more)
}

/// Appends a field to a JSON object.
fn joined(head: &impl Serialize, more: &str) -> String {
    let head = encode(head);
    format!("{},{more}}}", head.strip_suffix('}').unwrap_or(&head))
}

/// Returns a `"change"` field if the payload is JSON, else `"text"`, else `"base64"`.
fn content_of(content: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(content) else {
        return format!("\"base64\":\"{}\"", BASE64.encode(content));
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        // A line end inside JSON is whitespace.
        Ok(_) => format!("\"change\":{}", text.trim().replace(['\n', '\r'], " ")),
        Err(_) => format!("\"text\":{}", encode(&text)),
    }
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers serialize to JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::{DeviceKey, StoreEpoch};

    fn received(content: &[u8]) -> Incoming {
        let position = Position {
            store_epoch: StoreEpoch::new([1; 16]),
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
            targeted: false,
        })
    }

    #[test]
    fn line_preserves_json_bytes_and_position() {
        let change = received(b"{\"b\": 1.10, \"a\":\"\xc3\xbc\"}\r");
        let line = json(&change);
        assert!(
            line.ends_with(",\"kind\":\"change\",\"change\":{\"b\": 1.10, \"a\":\"ü\"}}"),
            "{line}"
        );
        assert_eq!(position(line.as_bytes()).as_ref(), Some(change.position()));
        assert!(json(&received(b"hello \"you\"")).ends_with("\"text\":\"hello \\\"you\\\"\"}"));
        assert!(json(&received(&[0xff, 0])).ends_with("\"base64\":\"/wA=\"}"));
        for content in [&b"[1,\n2]"[..], b"x\ny", b"\xff\n"] {
            assert!(!json(&received(content)).contains('\n'));
        }
    }

    #[test]
    fn text_line_is_truncated_and_sanitized() {
        assert_eq!(
            text(&received(b"a\n\x1b[2J b"), 100),
            "Desk \u{fffd}[1m (desk-1)  a\u{fffd}\u{fffd}[2J b"
        );
        assert_eq!(text(&received(&[b'x'; 500]), 30).chars().count(), 30);
    }

    #[test]
    fn snapshot_line_preserves_bytes() {
        let snapshot = Position {
            seq: 99,
            push_number: 12,
            ..*received(b"").position()
        };
        let names = OwnNames {
            device_name: Some("Desk"),
            device_id: "desk-1",
            transaction_id: "t",
        };
        for content in [
            &b"{\"b\": 1.10, \"a\":\"\xc3\xbc\"}"[..],
            b"hello \"you\"",
            &[0xff, 0],
        ] {
            let mine = own(&DeviceKey::new([2; 32]), 3, names, content);
            for line in [json(&received(content)), mine] {
                let (sender, entry) = LogLine::read(&line).unwrap();
                assert_eq!((sender, entry.push_number), (DeviceKey::new([2; 32]), 3));
                assert!(entry.snapshot().is_none() && !is_from_snapshot(line.as_bytes()));
                let brought = entry.with_snapshot(&snapshot);
                let tail = content_of(content);
                assert!(brought.ends_with(&format!("{tail}}}")), "{brought}");
                assert_eq!(
                    LogLine::read(&brought).unwrap().1.snapshot(),
                    Some(snapshot)
                );
                assert!(
                    is_from_snapshot(brought.as_bytes()) && position(brought.as_bytes()).is_none()
                );
            }
        }
        assert_eq!(
            position(snapshot_end(&snapshot, 3).as_bytes()),
            Some(snapshot)
        );
        assert!(LogLine::read("{\"sender\":\"x\"}").is_none());
    }
}
