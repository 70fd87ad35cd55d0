//! The crates of the workspace and the edges between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Each crate and the crates of the workspace that it may depend on.
pub const EDGES: &[(&str, &[&str])] = &[
    ("graceful-protocol", &[]),
    ("graceful-fs-util", &[]),
    ("graceful-rules", &["graceful-protocol"]),
    ("graceful-engine", &["graceful-protocol"]),
    ("graceful-raw-client", &["graceful-protocol"]),
    (
        "graceful-client",
        &[
            "graceful-engine",
            "graceful-fs-util",
            "graceful-protocol",
            "graceful-raw-client",
        ],
    ),
    (
        "graceful-store",
        &["graceful-fs-util", "graceful-protocol", "graceful-rules"],
    ),
    (
        "graceful-server",
        &[
            "graceful-fs-util",
            "graceful-protocol",
            "graceful-raw-client",
            "graceful-rules",
            "graceful-store",
        ],
    ),
    (
        "graceful-loadgen",
        &[
            "graceful-fs-util",
            "graceful-protocol",
            "graceful-raw-client",
        ],
    ),
];

/// Crates without restrictions: the program, and what only tests use.
const UNRESTRICTED: &[&str] = &["graceful-relay", "graceful-testing", "graceful-wasm"];

/// Crates that seal and open envelopes, and the relay's crates that must not name them.
const SEALING: &[&str] = &["aes-gcm", "bip39", "graceful-engine", "hkdf", "hpke"];
const RELAY: &[&str] = &["graceful-rules", "graceful-server", "graceful-store"];

/// The direct dependencies of each crate, without those of tests and build scripts.
pub type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Reads the dependencies of all workspace members from `cargo metadata`.
pub fn read(root: &Path) -> Dependencies {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let direct = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        let normal = all.filter(|dependency| dependency["kind"].is_null());
        normal.map(|dependency| text(&dependency["name"])).collect()
    };
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages
        .map(|package| (text(&package["name"]), direct(package)))
        .collect()
}

/// Edges that the layout does not have, and relay crates that name a sealing crate.
pub fn offences(dependencies: &Dependencies) -> Vec<String> {
    let mut offences = Vec::new();
    for (name, direct) in dependencies {
        if UNRESTRICTED.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| known == name) else {
            offences.push(format!("{name}: not in the table of crates"));
            continue;
        };
        for dependency in direct {
            let ours = dependency.starts_with("graceful-");
            if ours && !allowed.contains(&dependency.as_str()) {
                offences.push(format!("{name}: depends on {dependency}"));
            }
            if RELAY.contains(&name.as_str()) && SEALING.contains(&dependency.as_str()) {
                offences.push(format!("{name}: depends on the sealing crate {dependency}"));
            }
        }
    }
    offences
}
