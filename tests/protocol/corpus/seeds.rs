//! Seeds of the fuzz targets: valid examples from the vectors, and inputs that once failed.

use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/protocol/corpus/seeds")
        .join(target)
}

/// The seeds of a target, with their names.
pub fn committed(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder(target)).expect("every target has a folder of seeds");
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read(path).expect("a seed can be read"))
        })
        .collect();
    seeds.sort();
    seeds
}

fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("the field is a string");
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .expect("the field is hex")
}

/// A piece behind its length in two bytes, as a script reads it.
fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("vectors are short");
    [&length.to_be_bytes(), bytes].concat()
}

/// Target, name and bytes of each seed that comes from a vector.
pub fn from_vectors() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for vector in vectors("frames.json") {
        let name = vector["name"]
            .as_str()
            .unwrap_or_default()
            .replace(' ', "_");
        let note = vector["note"].as_str().unwrap_or_default();
        if name == "exchange_body" {
            seeds.push(("exchange_body", name, bytes(&vector["outputs"]["body"])));
        } else {
            let frame = bytes(&vector["outputs"]["frame"]);
            let (target, choice) = if note.contains("FromDevice") {
                ("device_frame", [0, 13])
            } else {
                ("relay_frame", [5, 11])
            };
            let script = [&choice[..], &piece(&frame)].concat();
            seeds.push((
                if target == "device_frame" {
                    "session"
                } else {
                    "engine"
                },
                name.clone(),
                script,
            ));
            seeds.push((target, name, frame));
        }
    }
    let mut log = Vec::new();
    for vector in vectors("membership.json") {
        // How (2: index, author and head are filled in), by whom, body.
        log.extend([&[2, 1][..], &piece(&bytes(&vector["inputs"]["body"]))].concat());
    }
    seeds.push(("membership_log", "log".to_owned(), log));
    for vector in vectors("sealing.json") {
        let name = vector["name"]
            .as_str()
            .unwrap_or_default()
            .replace(' ', "_");
        let inside = |field: &str| bytes(&vector["outputs"][field]);
        let script = [piece(&inside("header_plain")), inside("content_plain")].concat();
        seeds.push(("sealed_envelope", format!("{name}_inside"), script));
        seeds.push(("sealed_envelope", name, inside("sealed")));
    }
    for vector in vectors("pairing.json") {
        let name = vector["name"].as_str().unwrap_or_default().to_owned();
        let (inputs, outputs) = (&vector["inputs"], &vector["outputs"]);
        match name.as_str() {
            "link" => {
                let link = outputs["link_text"].as_str().unwrap_or_default();
                seeds.push(("pairing_link", name, link.as_bytes().to_vec()));
            }
            "request" => {
                let request = bytes(&inputs["request"]);
                let mut padded = piece(&request);
                padded.resize(512, 0);
                seeds.push(("join_request", name, padded));
            }
            "bundle" | "refusal" => seeds.push(("account_bundle", name, bytes(&outputs["sealed"]))),
            _ => {}
        }
    }
    for vector in vectors("recovery.json") {
        if let Some(words) = vector["outputs"]["words_text"].as_str() {
            let name = vector["name"]
                .as_str()
                .unwrap_or_default()
                .replace([' ', '\''], "_");
            seeds.push(("recovery_words", name, words.as_bytes().to_vec()));
        }
    }
    // Asked, shown the log of four in two pieces, added; and the same where another came first.
    let log = [1, 0, 0, 1, 4, 0, 2, 0, 2, 0, 3, 2, 9, 0];
    seeds.push(("recovery", "added".to_owned(), [&log[..], &[4, 0]].concat()));
    seeds.push((
        "recovery",
        "stale".to_owned(),
        [&log[..], &[5, 4, 0, 4, 0]].concat(),
    ));
    seeds.push((
        "recovery",
        "altered".to_owned(),
        [&log[..6], &[6, 0, 9, 1, 0, 0]].concat(),
    ));
    seeds.push(("session", "recovered".to_owned(), recovered()));
    seeds.push((
        "session",
        "created_and_pushed".to_owned(),
        a_day_in_the_life(),
    ));
    seeds
}

/// Authenticates by a recovery key, gets the log, appends to it and is notified.
fn recovered() -> Vec<u8> {
    let recover = [0, 5, 0];
    let found = [7, 0];
    let look = [7, 1];
    let append = [0, 6, 1, 1, 0];
    let (commit, woken) = ([5, 0], [8, 0, 1, 1]);
    [
        &recover[..],
        &found,
        &look,
        &append,
        &commit,
        &look,
        &woken,
        &look,
    ]
    .concat()
}

/// Creates an account, pushes, fetches and acknowledges.
fn a_day_in_the_life() -> Vec<u8> {
    let found = [0, 1, 0, 0, 0, 0];
    let (commit, output) = ([5, 0], [7, 0]);
    let push = [0, 2, 1, 3];
    let look = [7, 4, 9, 0];
    let ack = [0, 4, 2];
    [
        &found[..],
        &commit,
        &output,
        &look,
        &push,
        &commit,
        &[8, 3, 1, 0],
        &look,
        &ack,
        &commit,
        &look,
    ]
    .concat()
}
