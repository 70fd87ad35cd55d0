//! Account recovery by recovery phrase: at a real relay, at misbehaving relays, and without a trace
//! on any device.

mod happy_path;
mod misbehaving_relay;
mod trace;

use std::path::Path;
use std::time::Duration;

use graceful_client::{
    Change, Changes, Client, ClientError, ConnectOptions, CreateOptions, Incoming, OsRng,
    RecoverOptions, RecoveryKey,
};

/// Longer than anything takes: only so that what is broken ends its test.
const LONG: Duration = Duration::from_secs(60);

fn fresh_key() -> RecoveryKey {
    RecoveryKey::random(&mut OsRng)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn create(url: &str, folder: &Path, key: &RecoveryKey) -> Client {
    let options = CreateOptions {
        profile_dir: folder.to_owned(),
        relay: url.to_owned(),
        invite: None,
        device_name: "Desk".into(),
        device_id: "desk-1".into(),
        recovery: Some(key.clone()),
        connect: ConnectOptions::default(),
    };
    Client::create(options).await.expect("account is created")
}

fn options(url: &str, folder: &Path, key: &RecoveryKey, name: &str) -> RecoverOptions {
    RecoverOptions {
        profile_dir: folder.to_owned(),
        relay: url.to_owned(),
        recovery: key.clone(),
        device_name: name.to_owned(),
        device_id: format!("{name}-1"),
        remove_others: false,
        connect: ConnectOptions::default(),
    }
}

/// Recovers with the phrase as typed.
async fn recover(
    url: &str,
    folder: &Path,
    key: &RecoveryKey,
    name: &str,
) -> Result<Client, ClientError> {
    let typed = key
        .words()
        .join("\n")
        .to_uppercase()
        .parse()
        .expect("the words");
    let recovered = Client::recover(options(url, folder, &typed, name), |_| ());
    tokio::time::timeout(LONG, recovered)
        .await
        .expect("it ends")
}

async fn push(client: &Client, texts: &[&str]) {
    let changes = texts
        .iter()
        .map(|text| Change::new(*text, text.as_bytes().to_vec()));
    client.push(changes).await.expect("taken");
    tokio::time::timeout(LONG, client.stored(|_| ()))
        .await
        .expect("in time")
        .expect("stored");
}

/// The next changes, applied.
async fn received(client: &Client, changes: &mut Changes, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let incoming = tokio::time::timeout(LONG, changes.next())
            .await
            .expect("in time")
            .expect("open");
        let Incoming::Change(change) = &incoming else {
            panic!("no change: {incoming:?}")
        };
        texts.push(String::from_utf8(change.content.to_vec()).expect("text"));
        client.applied(&incoming).await.expect("noted");
    }
    texts
}
