//! A search for many needles at once, also inside compressed data.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};

use crate::encodings;

/// Length of the prefix by which needles are matched; none is shorter.
const START_BYTES: usize = 8;

/// What is unpacked of one stream at most.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;

/// Whom a canary may reach. Each may reach what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No place at all outside the devices.
    Devices,
    /// The line on which it is sent, without TLS around it.
    Wire,
    /// The relay's files.
    Store,
    /// Nothing is kept back here: for what is planted.
    Anywhere,
}

/// A value that is somewhere on purpose, to be looked for everywhere else.
#[derive(Debug, Clone)]
pub struct Canary {
    pub what: &'static str,
    pub reach: Reach,
    pub bytes: Vec<u8>,
}

/// Somewhere to look.
pub struct Place {
    pub name: String,
    /// Only what reaches further than this may be here.
    pub reach: Reach,
    pub bytes: Vec<u8>,
}

/// Matches: a canary's name and its encoding.
pub type Matches = BTreeSet<(&'static str, &'static str)>;

struct Needle {
    what: &'static str,
    form: &'static str,
    bytes: Vec<u8>,
}

/// Needles by their first bytes.
pub struct Needles {
    by_start: HashMap<[u8; START_BYTES], Vec<Needle>>,
    /// Whether any begins with these two bytes.
    filter: Vec<bool>,
}

impl Needles {
    pub fn of<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Self {
        let mut needles = Self {
            by_start: HashMap::new(),
            filter: vec![false; 1 << 16],
        };
        for canary in canaries {
            for (form, bytes) in encodings::of(&canary.bytes) {
                let start = *bytes.first_chunk().expect("a canary is longer than that");
                needles.filter[usize::from(u16::from_be_bytes([start[0], start[1]]))] = true;
                needles.by_start.entry(start).or_default().push(Needle {
                    what: canary.what,
                    form,
                    bytes,
                });
            }
        }
        needles
    }

    /// All that is in these bytes, as they stand and unpacked.
    pub fn find(&self, bytes: &[u8]) -> Matches {
        let mut found = self.as_it_stands(bytes);
        for (form, unpacked) in unpacked(bytes) {
            found.extend(
                self.as_it_stands(&unpacked)
                    .into_iter()
                    .map(|(what, _)| (what, form)),
            );
        }
        found
    }

    fn as_it_stands(&self, bytes: &[u8]) -> Matches {
        let mut found = Matches::new();
        for (at, window) in bytes.windows(START_BYTES).enumerate() {
            if !self.filter[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                continue;
            }
            for needle in self.by_start.get(window).into_iter().flatten() {
                if bytes[at..].starts_with(&needle.bytes) {
                    found.insert((needle.what, needle.form));
                }
            }
        }
        found
    }
}

/// Every stream that looks like one, unpacked as far as it goes.
fn unpacked(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut streams = Vec::new();
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let mut text = Vec::new();
        if rest.starts_with(&[0x1f, 0x8b, 8]) {
            // An end that does not fit comes after what was unpacked before it.
            let _ = GzDecoder::new(rest)
                .take(UNPACKED_BYTES_MAX)
                .read_to_end(&mut text);
            streams.push(("gzip", text));
        } else if matches!(rest, [0x78, flags, ..] if (0x7800 | u16::from(*flags)) % 31 == 0) {
            let _ = ZlibDecoder::new(rest)
                .take(UNPACKED_BYTES_MAX)
                .read_to_end(&mut text);
            streams.push(("zlib", text));
        }
    }
    streams
}

/// Canaries in places that they must not reach.
pub fn escaped(canaries: &[Canary], places: &[Place]) -> Vec<String> {
    let mut escaped = Vec::new();
    for place in places {
        let hidden = canaries.iter().filter(|canary| canary.reach < place.reach);
        let found = Needles::of(hidden).find(&place.bytes);
        escaped.extend(
            found
                .iter()
                .map(|(what, form)| format!("{what} is in {} ({form})", place.name)),
        );
    }
    escaped
}

/// Plants a canary in every form in the midst of a place; those forms in which it is not seen there.
pub fn unseen(planted: &Canary, place: &Place) -> Vec<String> {
    let forms = [
        encodings::of(&planted.bytes),
        encodings::packed(&planted.bytes).to_vec(),
    ]
    .concat();
    let (before, after) = place.bytes.split_at(place.bytes.len() / 2);
    let mut bytes = before.to_vec();
    for (_, form) in &forms {
        bytes.extend_from_slice(form);
        bytes.push(0);
    }
    bytes.extend_from_slice(after);
    let found = Needles::of([planted]).find(&bytes);
    let unseen = forms
        .iter()
        .filter(|(form, _)| !found.contains(&(planted.what, form)));
    unseen
        .map(|(form, _)| format!("planted in {} ({form}) it is not seen", place.name))
        .collect()
}
