//! Worked examples of docs/reference/protocol.md, for clients in other languages.
//!
//! The files beside this one hold them. Each is made again here through the library's doors and
//! must come out the same; `UPDATE_VECTORS=1 cargo test --test protocol vectors` writes them anew, which
//! after a release means that the protocol was changed.
//!
//! Strings are bytes in hex, unless the name of their field ends with `_text`.

mod actors;
mod frames;
mod log;
mod membership;
mod pairing;
mod recovery;
mod sealing;
mod wrapping;

use serde_json::{Map, Value, json};

/// One worked example.
pub(crate) struct Vector {
    name: String,
    note: String,
    inputs: Map<String, Value>,
    outputs: Map<String, Value>,
}

impl Vector {
    pub(crate) fn new(name: &str, note: &str) -> Self {
        Self {
            name: name.to_owned(),
            note: note.to_owned(),
            inputs: Map::new(),
            outputs: Map::new(),
        }
    }

    pub(crate) fn given(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.inputs.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn gives(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.outputs.insert(name.to_owned(), value.into());
        self
    }
}

pub(crate) fn hex(bytes: &[u8]) -> Value {
    Value::from(data_encoding::HEXLOWER.encode(bytes))
}

/// Compares with the file, or writes it.
fn hold(file: &str, vectors: Vec<Vector>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let vectors: Vec<_> = vectors
        .into_iter()
        .map(|vector| {
            json!({ "name": vector.name, "note": vector.note, "inputs": vector.inputs, "outputs": vector.outputs })
        })
        .collect();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vectors).expect("vectors are JSON") + "\n";
        std::fs::write(&path, text).expect("the vectors can be written");
        return;
    }
    let text = std::fs::read_to_string(&path).expect("the vectors are beside this test");
    let kept: Vec<Value> = serde_json::from_str(&text).expect("the vectors are JSON");
    for (kept, made) in kept.iter().zip(&vectors) {
        assert_eq!(kept, made, "{file}: {}", made["name"]);
    }
    assert_eq!(
        kept.len(),
        vectors.len(),
        "{file}: vectors were added or lost"
    );
}

#[test]
fn padded_sizes() {
    hold("padding.json", log::padded_sizes());
}

#[test]
fn chain() {
    hold("chain.json", log::chain());
}

#[test]
fn challenge() {
    hold("challenge.json", log::challenges());
}

#[test]
fn membership_entries() {
    hold("membership.json", membership::all());
}

#[test]
fn wrapped_secrets() {
    hold("wrapping.json", wrapping::secrets());
}

#[test]
fn sealed_envelopes() {
    hold("sealing.json", sealing::envelopes());
}

#[test]
fn pairing_of_two_devices() {
    hold("pairing.json", pairing::steps());
}

#[test]
fn recovery_keys() {
    hold("recovery.json", recovery::all());
}

#[test]
fn frames_of_each_kind() {
    hold("frames.json", frames::all());
}
