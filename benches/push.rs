//! Durable pushes over real sockets, beside what the disk itself can do in the same run:
//! `cargo bench --bench push`. Numbers and how to read them: docs/performance.md.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::{SinkExt, StreamExt};
use graceful_relay::http::{self, Admission, Options};
use graceful_relay::protocol::challenge::Challenge;
use graceful_relay::protocol::frame::{DeviceFrame, RelayFrame, device_bytes, from_relay};
use graceful_relay::protocol::membership::{account_id, sign};
use graceful_relay::protocol::wire::membership_entry::Change;
use graceful_relay::protocol::wire::{Authenticate, Envelope, Found, FoundAccount, MembershipEntry, Push};
use graceful_relay::protocol::{DeviceKey, Limits, SOCKET_PATH, StoreEpoch, VERSION, envelope};
use graceful_relay::relay::{Fairness, Registration, Relay, RelayOptions};
use graceful_relay::rules::rate::Allowance;
use graceful_relay::store::{self, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const SECONDS: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

/// What is pushed: how many connections, envelopes in a frame, bytes in an envelope.
const LOADS: [(&str, usize, u64, usize); 5] = [
    ("1 connection, 1 KiB", 1, 1, 1024),
    ("64 connections, 1 KiB", 64, 1, 1024),
    ("1,000 connections, 1 KiB", 1_000, 1, 1024),
    ("4 connections, 500 in a frame, 1 KiB", 4, 500, 1024),
    ("4 connections, 1 MiB", 4, 1, 1024 * 1024),
];

struct Device {
    client: WebSocketStream<TcpStream>,
    pushed: u64,
}

impl Device {
    /// Founds an account of its own.
    async fn found(address: SocketAddr, number: u64) -> Self {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let key = SigningKey::from_bytes(&seed);
        let device = DeviceKey::new(key.verifying_key().to_bytes());
        let change = Change::Found(FoundAccount {
            agreement_key: Bytes::from(vec![1; 32]),
            ..FoundAccount::default()
        });
        let entry = MembershipEntry { author: device.to_wire(), change: Some(change), ..Default::default() };
        let entry = sign(&entry, &key);
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        let url = format!("ws://{address}{SOCKET_PATH}");
        let (client, _) = tokio_tungstenite::client_async(url, stream).await.expect("a handshake");
        let mut this = Self { client, pushed: 0 };
        let RelayFrame::Greeting(greeting) = this.next().await else { panic!("greeted") };
        let challenge = Challenge {
            nonce: &greeting.nonce,
            epoch: StoreEpoch::try_from(&*greeting.epoch).expect("16 bytes"),
            host: "127.0.0.1",
            account: account_id(&entry),
            device,
        };
        let authenticate = Authenticate {
            version: VERSION,
            account: challenge.account.to_wire(),
            device: device.to_wire(),
            host: challenge.host.to_owned(),
            signature: challenge.sign(&key).to_vec().into(),
            ..Authenticate::default()
        };
        let found = Found { authenticate: Some(authenticate), entry: Some(entry), invite: String::new() };
        this.send(DeviceFrame::Found(found)).await;
        while !matches!(this.next().await, RelayFrame::Welcome(_)) {}
        this
    }

    async fn next(&mut self) -> RelayFrame {
        loop {
            if let Message::Binary(bytes) = self.client.next().await.expect("open").expect("a message") {
                return from_relay(bytes).expect("a frame");
            }
        }
    }

    async fn send(&mut self, frame: DeviceFrame) {
        self.client.send(Message::Binary(device_bytes(frame))).await.expect("open");
    }

    /// One frame, and the time until it is stored.
    async fn push(&mut self, sealed: &Bytes, count: u64) -> Duration {
        let envelopes = (1..=count).map(|at| Envelope {
            push_number: self.pushed + at,
            sealed: sealed.clone(),
            addressee: Bytes::new(),
        });
        let push = Push { envelopes: envelopes.collect() };
        let begun = Instant::now();
        self.send(DeviceFrame::Push(push)).await;
        self.pushed += count;
        loop {
            match self.next().await {
                RelayFrame::Stored(stored) if stored.push_number == self.pushed => return begun.elapsed(),
                RelayFrame::Refusal(refusal) => panic!("refused: {refusal:?}"),
                _ => {}
            }
        }
    }
}

/// One machine plays all devices, as fast as it can.
fn relay_options() -> RelayOptions {
    let fairness = Fairness {
        account_frames: Allowance::per_second(0),
        account_bytes: Allowance::per_second(0),
        accounts: Allowance::per_hour(0),
        founding_connections_max: u64::MAX,
        ..Fairness::default()
    };
    RelayOptions { fairness, ..RelayOptions::default() }
}

/// The disk alone: append this much, sync, again.
fn disk_syncs_a_second(folder: &Path, bytes: usize) -> f64 {
    let path = folder.join("disk");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
    let (begun, block) = (Instant::now(), vec![7; bytes]);
    let mut syncs = 0.0;
    while begun.elapsed() < SECONDS / 5 {
        file.write_all(&block).expect("writes");
        file.sync_data().expect("syncs");
        syncs += 1.0;
    }
    let rate = syncs / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("ours");
    rate
}

async fn round(folder: &Path, connections: usize, count: u64, bytes: usize) -> (f64, Vec<Duration>) {
    let limits =
        Limits { account_bytes_max: u64::MAX / 2, account_envelopes_max: u64::MAX / 2, ..Limits::default() };
    let options = store::Options {
        limits,
        registration: Registration::Open,
        cache_bytes: 64 << 20,
        ..store::Options::default()
    };
    let data = folder.join("relay");
    let relay = Relay::start(Store::open(&data, options).expect("a store"), relay_options());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let door = Options {
        connections_max: connections + 1,
        frame_bytes_max: 1_200 * 1024,
        handshake_timeout: SECONDS,
        head_timeout: SECONDS,
        body_timeout: SECONDS,
        write_timeout: SECONDS,
        close_timeout: Duration::from_millis(100),
        stop_timeout: SECONDS,
        admission: Admission { by_address: false, ..Admission::default() },
    };
    let running = tokio::spawn(http::run(listener, relay, door, shutdown.clone()));
    let mut sealed = vec![0xa5; envelope::padded_size(bytes)];
    sealed[0] = envelope::FORM;
    let sealed = Bytes::from(sealed);
    let mut devices = Vec::new();
    for number in 0..connections {
        devices.push(Device::found(address, number as u64).await);
    }
    let until = Instant::now() + SECONDS;
    let begun = Instant::now();
    let pushing = devices.into_iter().map(|mut device| {
        let sealed = sealed.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                times.push(device.push(&sealed, count).await);
            }
            times
        })
    });
    let pushing = pushing.collect::<Vec<_>>();
    let mut times = Vec::new();
    for one in pushing {
        times.extend(one.await.expect("pushes"));
    }
    let rate = times.len() as f64 * count as f64 / begun.elapsed().as_secs_f64();
    shutdown.cancel();
    running.await.expect("no panic").expect("stops");
    std::fs::remove_dir_all(data).expect("ours");
    times.sort_unstable();
    (rate, times)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    // Cargo asks benchmarks to run as tests too: then nothing is measured.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    println!("medians of {ROUNDS} rounds of {SECONDS:?}, in turns with the disk alone");
    println!("| load | pushes/s | MB/s | p50 | p99 | disk: append + sync of one | p50 ÷ disk |");
    println!("|---|---|---|---|---|---|---|");
    let wanted = std::env::args().nth(1).filter(|name| !name.starts_with("--")).unwrap_or_default();
    for (name, connections, count, bytes) in LOADS.into_iter().filter(|load| load.0.contains(&wanted)) {
        let (mut rates, mut halves, mut tails, mut disks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            disks.push(1e3 / disk_syncs_a_second(folder.path(), bytes));
            let (rate, times) = runtime.block_on(round(folder.path(), connections, count, bytes));
            rates.push(rate);
            halves.push(times[times.len() / 2].as_secs_f64() * 1e3);
            tails.push(times[times.len() * 99 / 100].as_secs_f64() * 1e3);
        }
        let (rate, half, tail, disk) = (median(rates), median(halves), median(tails), median(disks));
        let megabytes = rate * bytes as f64 / 1e6;
        let ratio = half / disk;
        println!(
            "| {name} | {rate:.0} | {megabytes:.1} | {half:.2} ms | {tail:.2} ms | {disk:.2} ms | {ratio:.1} |"
        );
    }
}
