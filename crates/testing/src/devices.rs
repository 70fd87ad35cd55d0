//! Two clients of one account, each with an app that records what it receives.

use std::path::Path;
use std::time::Duration;

use graceful_client::{Change, Client, ConnectOptions, CreateOptions, Incoming, JoinOptions};
use tokio::sync::watch;

/// Upper bound of any step, so that a broken relay fails the test.
pub const LONG: Duration = Duration::from_secs(120);

pub fn ledger() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/ledger.jsonl"
    ));
    let lines = text
        .expect("the ledger is in the tree")
        .lines()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert_eq!(lines.len(), 4_866);
    lines
}

/// A client with an app that records received changes.
pub struct Device {
    pub client: Client,
    pub had: watch::Receiver<Vec<String>>,
}

impl Device {
    pub fn new(client: Client) -> Self {
        let (having, had) = watch::channel(Vec::new());
        let following = client.clone();
        tokio::spawn(async move {
            let mut changes = following.changes();
            while let Some(incoming) = changes.next().await {
                match &incoming {
                    Incoming::Change(received) => {
                        let line = String::from_utf8(received.content.to_vec()).expect("text");
                        having.send_modify(|had| had.push(line));
                    }
                    other => panic!("neither a gap nor a request is expected: {other:?}"),
                }
                if following.applied(&incoming).await.is_err() {
                    return;
                }
            }
        });
        Self { client, had }
    }

    pub async fn push(&self, lines: &[String]) {
        let changes = lines.iter().map(|line| Change::new("ledger", line.clone()));
        self.client
            .push(changes)
            .await
            .expect("the outbox takes it");
    }

    /// Waits until `more` changes beyond `before` were received.
    pub async fn more_than(&mut self, before: usize, more: usize) {
        let came = self.had.wait_for(|had| had.len() >= before + more);
        tokio::time::timeout(LONG, came)
            .await
            .expect("changes come")
            .expect("the app runs");
    }
}

pub async fn two_devices(folder: &Path, relay: &str) -> (Device, Device) {
    let (laptop, phone) = two_clients(folder, relay).await;
    (Device::new(laptop), Device::new(phone))
}

/// Asserts that each device has every change of the other once, in order, and that nothing is
/// pending.
pub async fn assert_converged(
    laptop: Device,
    phone: Device,
    from_laptop: &[String],
    from_phone: &[String],
) {
    let (mut laptop, mut phone) = (laptop, phone);
    phone.more_than(0, from_laptop.len()).await;
    laptop.more_than(0, from_phone.len()).await;
    for device in [&laptop, &phone] {
        let rest = async {
            device.client.stored(|_| {}).await.expect("stored");
            device.client.up_to_date().await.expect("up to date");
        };
        tokio::time::timeout(LONG, rest)
            .await
            .expect("comes to rest");
    }
    assert!(
        *phone.had.borrow() == from_laptop,
        "every change of the laptop once, in order"
    );
    assert!(
        *laptop.had.borrow() == from_phone,
        "every change of the phone once, in order"
    );
    laptop.client.close().await.expect("closes");
    phone.client.close().await.expect("closes");
}

/// Creates two paired clients without apps.
pub async fn two_clients(folder: &Path, relay: &str) -> (Client, Client) {
    let create = CreateOptions {
        profile_dir: folder.join("laptop"),
        relay: relay.to_owned(),
        invite: None,
        device_name: "Laptop".into(),
        device_id: "laptop-1".into(),
        recovery: None,
        connect: ConnectOptions::default(),
    };
    let laptop = Client::create(create).await.expect("account is created");
    let mut pairing = laptop
        .pair(Duration::from_secs(60))
        .await
        .expect("opens a slot");
    let join = JoinOptions {
        profile_dir: folder.join("phone"),
        link: pairing.link().to_string(),
        device_name: "Phone".into(),
        device_id: "phone-1".into(),
        connect: ConnectOptions::default(),
    };
    let accept = async {
        let ask = pairing.next_request().await.expect("asks");
        assert_eq!(ask.name(), "Phone");
        let device = ask.device();
        ask.accept().await.expect("accepted");
        device
    };
    let (phone, device) = tokio::join!(Client::join(join, |_| {}), accept);
    let phone = phone.expect("joins");
    assert_eq!(phone.status().device, device);
    (laptop, phone)
}
