//! The scenarios, and the measurements of each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use graceful_loadgen::accounts::{AccountPlan, Accounts};
use graceful_loadgen::disk::Disk;
use graceful_loadgen::load;
use graceful_loadgen::local::folder_bytes;
use graceful_loadgen::plan::Plan;
use graceful_loadgen::process::Process;
use graceful_loadgen::worker::Payload;
use graceful_raw_client::ConnectOptions;
use graceful_raw_client::Connector;
use tokio_util::sync::CancellationToken;

use crate::driver::{self, Driver, Load, Result_, Target, connect_all};
use crate::line::Certificate;
use crate::machine;
use crate::peers::Kind;
use crate::server::{Scratch, Server};
use crate::with_driver;

pub type Values = BTreeMap<String, f64>;

const KIB: usize = 1024;
/// Just below 1 MiB: the size of an envelope that redb does not double.
const LARGE: usize = 1024 * 1024 - 512;
const LARGE_CONNECTIONS: usize = 4;
/// Envelopes in a frame.
const BATCH: u64 = 500;
const REDB_BATCH: u64 = 1_000;
const DELIVER_ACCOUNTS: usize = 8;
const DELIVER_PER_S: f64 = 200.0;
const HALF_LOAD_ACCOUNTS: usize = 64;
/// Idle connections that each carry one message of 1 MiB.
const SAMPLE: usize = 100;
/// Warm-up bytes that fill the server's caches.
const WARM_MESSAGES: usize = 128;
const REOPEN_CONNECTIONS: usize = 8;
const REOPEN_BYTES: usize = 64_000;

/// The measured server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Server(Kind, bool),
    Disk,
    Redb,
    Loopback,
    AesGcm,
    Tls,
}

/// The work of a scenario.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// One push in flight on each connection.
    Push(Connections, usize),
    Batch,
    /// A rate per second, or half of the maximum; another device receives.
    Deliver(Option<f64>),
    Idle,
    Start,
    Reopen,
    Machine,
}

#[derive(Debug, Clone, Copy)]
pub enum Connections {
    Few(usize),
    /// As many as configured.
    Many,
}

pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    pub work: Work,
    pub contenders: Vec<Contender>,
}

/// Durations and counts.
pub struct Settings {
    pub folder: PathBuf,
    pub certificate: Certificate,
    pub time: Duration,
    pub warm_up: Duration,
    pub many: usize,
    pub idle: usize,
    pub reopen_bytes: u64,
    /// Time in which a server may release memory.
    pub settle: Duration,
}

impl Contender {
    pub fn name(self) -> String {
        match self {
            Self::Server(kind, true) => format!("{}, TLS", kind.name()),
            Self::Server(kind, false) => kind.name().to_owned(),
            Self::Disk => "the disk: append and fdatasync".to_owned(),
            Self::Redb => "redb, 1,000 rows a commit".to_owned(),
            Self::Loopback => "loopback: 1 KiB there and back".to_owned(),
            Self::AesGcm => "AES-256-GCM, as clients seal".to_owned(),
            Self::Tls => "TLS 1.3, both ends on a core".to_owned(),
        }
    }
}

/// All scenarios, in order.
pub fn all() -> Vec<Scenario> {
    use Contender::{AesGcm, Disk, Loopback, Redb, Server, Tls};
    use Kind::{Mosquitto, Nats, Postgres, Redis, Relay};
    let plain = |kind| Server(kind, false);
    let tls = |kind| Server(kind, true);
    let pushers = vec![
        plain(Relay),
        tls(Relay),
        plain(Redis),
        tls(Redis),
        plain(Nats),
        tls(Nats),
        plain(Postgres),
        plain(Mosquitto),
    ];
    let alone = [&[Disk][..], &pushers].concat();
    let large = vec![
        tls(Relay),
        tls(Nats),
        plain(Redis),
        tls(Redis),
        plain(Postgres),
    ];
    let secure = vec![
        tls(Relay),
        tls(Redis),
        tls(Nats),
        plain(Postgres),
        tls(Mosquitto),
    ];
    let scenario = |name, work, contenders| Scenario {
        name,
        work,
        contenders,
    };
    vec![
        scenario("machine", Work::Machine, vec![Disk, Loopback, AesGcm, Tls]),
        scenario("push-1", Work::Push(Connections::Few(1), KIB), alone),
        scenario(
            "push-64",
            Work::Push(Connections::Few(64), KIB),
            pushers.clone(),
        ),
        scenario("push-1000", Work::Push(Connections::Many, KIB), pushers),
        scenario(
            "large",
            Work::Push(Connections::Few(LARGE_CONNECTIONS), LARGE),
            large,
        ),
        scenario("batch", Work::Batch, vec![plain(Relay), tls(Relay), Redb]),
        scenario(
            "deliver-200",
            Work::Deliver(Some(DELIVER_PER_S)),
            secure.clone(),
        ),
        scenario("deliver-half", Work::Deliver(None), secure),
        scenario(
            "idle",
            Work::Idle,
            vec![tls(Relay), tls(Redis), tls(Nats), tls(Mosquitto)],
        ),
        scenario("start", Work::Start, Kind::ALL.map(plain).to_vec()),
        scenario(
            "reopen",
            Work::Reopen,
            [Relay, Redis, Nats, Postgres].map(plain).to_vec(),
        ),
    ]
}

/// Whether it already answers a client.
pub async fn is_ready(kind: Kind, target: &Target) -> bool {
    async fn answers<D: Driver>(target: &Target) -> bool {
        D::connect(target, 0).await.is_ok()
    }
    with_driver!(kind, answers::<_>(target))
}

/// One run of one server.
pub async fn turn(work: Work, contender: Contender, settings: &Settings) -> Result<Values> {
    let scratch = Scratch::new(&settings.folder)?;
    let (folder, time) = (scratch.path(), settings.time);
    let small = Payload::random(KIB).bytes();
    let known = |values: Result<machine::Values>| {
        values.map(|values| {
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        })
    };
    let (kind, tls) = match contender {
        Contender::Disk => return known(machine::disk(folder, small, time / 2)),
        Contender::Redb => return known(machine::redb(folder, REDB_BATCH, small, time)),
        Contender::Loopback => return known(machine::loopback(time / 2)),
        Contender::AesGcm => return known(machine::aes_gcm(time / 2)),
        Contender::Tls => return known(machine::tls(&settings.certificate, time / 2)),
        Contender::Server(kind, tls) => (kind, tls),
    };
    if let Work::Reopen = work {
        return reopen(kind, &scratch, settings).await;
    }
    let connections = settings.many.max(settings.idle) + SAMPLE;
    let spare = Scratch::new(&settings.folder)?;
    let start = |folder| Server::start(kind, tls, folder, &settings.certificate, connections);
    let work = match work {
        Work::Deliver(None) => {
            // On a fresh server, so that leftovers do not reach the next devices.
            let server = start(spare.path()).await?;
            Work::Deliver(Some(half_load(kind, &server, settings).await?))
        }
        work => work,
    };
    let server = start(folder).await?;
    match work {
        Work::Push(connections, bytes) => push(kind, &server, settings, connections, bytes).await,
        Work::Batch => batch(&server, settings).await,
        Work::Deliver(rate) => {
            deliver(kind, &server, settings, rate.unwrap_or(DELIVER_PER_S)).await
        }
        Work::Idle => {
            let (target, process) = (&server.target, server.process());
            // With an absent subscriber, Mosquitto would rewrite its whole file for each message.
            let prepare = kind != Kind::Mosquitto;
            with_driver!(kind, idle::<_>(target, process, settings, prepare))
        }
        Work::Start => {
            let used = server.process().used().context("it is gone")?;
            Ok(Values::from([
                ("ready_ms".to_owned(), server.ready.as_secs_f64() * 1e3),
                ("resident_mb".to_owned(), used.resident_bytes as f64 / 1e6),
            ]))
        }
        Work::Reopen | Work::Machine => bail!("this is not for a server that runs"),
    }
}

async fn put(kind: Kind, server: &Server, load: Load) -> Result<Result_> {
    let (target, process) = (&server.target, server.process());
    use driver::run;
    with_driver!(kind, run::<_>(target, process, load))
}

fn load(settings: &Settings, connections: usize, bytes: usize) -> Load {
    let (warm_up, duration) = (settings.warm_up, settings.time);
    Load {
        connections,
        bytes,
        rate: None,
        deliver: false,
        warm_up,
        duration,
    }
}

async fn push(
    kind: Kind,
    server: &Server,
    settings: &Settings,
    connections: Connections,
    bytes: usize,
) -> Result<Values> {
    let connections = match connections {
        Connections::Few(connections) => connections,
        Connections::Many => settings.many,
    };
    let bytes = if bytes == KIB {
        Payload::random(KIB).bytes()
    } else {
        bytes
    };
    let disk = Disk::under(&settings.folder);
    let before = disk.and_then(Disk::written_bytes);
    let result = put(kind, server, load(settings, connections, bytes)).await?;
    let device = disk
        .and_then(Disk::written_bytes)
        .zip(before)
        .map(|(after, before)| after - before);
    let mut values = pushed(&result, bytes);
    if let Some(device) = device {
        // Over the whole run, since the disk is not sampled during it.
        let all = result.stored.all as f64 * bytes as f64;
        values.insert("device_written_per_byte".to_owned(), device as f64 / all);
    }
    Ok(values)
}

fn pushed(result: &Result_, bytes: usize) -> Values {
    let stored = &result.stored;
    let (count, latency) = (stored.measured.max(1) as f64, &stored.latency);
    let rates = [
        ("per_s", stored.per_s),
        ("mb_per_s", stored.per_s * bytes as f64 / 1e6),
    ];
    let values = [
        ("p50_us", latency.p50_us as f64),
        ("p99_us", latency.p99_us as f64),
        ("p999_us", latency.p999_us as f64),
        ("server_cpu_us", result.server.cpu_us as f64 / count),
        ("generator_cpu_us", result.generator.cpu_us as f64 / count),
        (
            "written_per_byte",
            result.server.written_bytes as f64 / count / bytes as f64,
        ),
        (
            "written_kib_each",
            result.server.written_bytes as f64 / count / 1024.0,
        ),
        ("resident_mb", result.server.resident_bytes as f64 / 1e6),
    ];
    // Without samples there is no median and no cost.
    let values = values
        .into_iter()
        .filter(|_| stored.measured > 0 && latency.count > 0);
    rates
        .into_iter()
        .chain(values)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Batches, as the client library sends them, by the load generator.
async fn batch(server: &Server, settings: &Settings) -> Result<Values> {
    let plan = Plan {
        accounts: LARGE_CONNECTIONS,
        batch: BATCH,
        warm_up: settings.warm_up,
        duration: settings.time,
        ..Plan::default()
    };
    let mut accounts = Accounts::new(Connector::new(
        &server.target.url,
        &ConnectOptions::default(),
    )?);
    let stop = CancellationToken::new();
    let wanted = AccountPlan {
        accounts: plan.accounts,
        devices: 1,
    };
    let provisioned = accounts.create(wanted, &[], &stop, |_| {}).await?;
    let payload = Payload::random(KIB);
    let bytes = payload.bytes();
    let outcome = load::run(
        &plan,
        provisioned,
        payload,
        Some(server.process()),
        &stop,
        |_| {},
    )
    .await;
    if let Some(trouble) = outcome.trouble {
        bail!("{trouble}");
    }
    let (used, _) = outcome.relay.context("what it used")?;
    let (stored, generator) = (outcome.stored, outcome.generator);
    Ok(pushed(
        &Result_ {
            stored,
            delivered: None,
            server: used,
            generator,
        },
        bytes,
    ))
}

/// Half of the rate that it stores while another device of each account receives.
async fn half_load(kind: Kind, server: &Server, settings: &Settings) -> Result<f64> {
    let bytes = Payload::random(KIB).bytes();
    let probe = Load {
        deliver: true,
        ..load(settings, HALF_LOAD_ACCOUNTS, bytes)
    };
    Ok(put(kind, server, probe).await?.stored.per_s / 2.0)
}

async fn deliver(kind: Kind, server: &Server, settings: &Settings, rate: f64) -> Result<Values> {
    let bytes = Payload::random(KIB).bytes();
    let connections = if rate == DELIVER_PER_S {
        DELIVER_ACCOUNTS
    } else {
        HALF_LOAD_ACCOUNTS
    };
    if rate < 1.0 {
        bail!("it stores less than two pushes a second");
    }
    let load = Load {
        rate: Some(rate),
        deliver: true,
        ..load(settings, connections, bytes)
    };
    let result = put(kind, server, load).await?;
    let mut values = pushed(&result, bytes);
    let delivered = result.delivered.context("what was delivered")?;
    let (stored, latency) = (&result.stored.latency, &delivered.latency);
    for (name, value) in [
        ("rate", rate),
        ("delivered_p50_us", latency.p50_us as f64),
        ("delivered_p99_us", latency.p99_us as f64),
        (
            "between_p50_us",
            latency.p50_us as f64 - stored.p50_us as f64,
        ),
        (
            "delivered_part",
            delivered.all as f64 / result.stored.all.max(1) as f64,
        ),
    ] {
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

async fn idle<D: Driver>(
    target: &Target,
    process: Process,
    settings: &Settings,
    prepare: bool,
) -> Result<Values> {
    let count = settings.idle;
    if prepare {
        D::prepare(target).await?;
    }
    let large = Payload::random(LARGE).stamped(Duration::ZERO);
    let mut first = D::connect(target, count + 1).await?;
    for _ in 0..WARM_MESSAGES {
        first.push(&large).await?;
    }
    let resident = || {
        process
            .used()
            .map(|used| used.resident_bytes as f64)
            .context("the server is gone")
    };
    tokio::time::sleep(settings.settle).await;
    let before = resident()?;
    let started = Instant::now();
    let mut connections = connect_all::<D>(target, count).await?;
    let connected = started.elapsed();
    // Memory used for connecting is released first.
    tokio::time::sleep(settings.settle).await;
    let idle = resident()?;
    let sample = SAMPLE.min(count);
    for connection in &mut connections[..sample] {
        connection.push(&large).await?;
    }
    tokio::time::sleep(settings.settle).await;
    let after = resident()?;
    Ok(Values::from([
        ("connections".to_owned(), count as f64),
        (
            "connected_per_s".to_owned(),
            count as f64 / connected.as_secs_f64(),
        ),
        (
            "resident_kb_each".to_owned(),
            (idle - before) / count as f64 / 1e3,
        ),
        (
            "resident_kb_after_message".to_owned(),
            (after - idle) / sample as f64 / 1e3,
        ),
        ("resident_mb".to_owned(), idle / 1e6),
    ]))
}

/// Fills a store, kills the server during pushes, and starts it again.
async fn reopen(kind: Kind, scratch: &Scratch, settings: &Settings) -> Result<Values> {
    async fn fill<D: Driver>(target: &Target, bytes: u64, patience: Duration) -> Result<u64> {
        D::prepare(target).await?;
        let payload = Arc::new(Payload::random(REOPEN_BYTES));
        let each = bytes / payload.bytes() as u64 / REOPEN_CONNECTIONS as u64;
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for mut driver in connect_all::<D>(target, REOPEN_CONNECTIONS).await? {
            let payload = payload.clone();
            tasks.spawn(async move {
                let mut pushed = 0;
                while pushed < each && started.elapsed() < patience {
                    driver.push(&payload.stamped(started.elapsed())).await?;
                    pushed += 1;
                }
                anyhow::Ok(pushed * payload.bytes() as u64)
            });
        }
        let mut all = 0;
        while let Some(done) = tasks.join_next().await {
            all += done??;
        }
        Ok(all)
    }
    let start = || {
        Server::start(
            kind,
            false,
            scratch.path(),
            &settings.certificate,
            REOPEN_CONNECTIONS,
        )
    };
    let server = start().await?;
    let (target, patience) = (server.target.clone(), Duration::from_secs(120));
    let bytes = settings.reopen_bytes;
    let filled = with_driver!(kind, fill::<_>(&target, bytes, patience))?;
    // Killed while pushes are in flight.
    let more = tokio::spawn(async move { with_driver!(kind, fill::<_>(&target, bytes, patience)) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(server);
    more.abort();
    let file = folder_bytes(&scratch.path().join("data"));
    let server = start().await?;
    Ok(Values::from([
        ("filled_mb".to_owned(), filled as f64 / 1e6),
        ("file_mb".to_owned(), file as f64 / 1e6),
        ("ready_ms".to_owned(), server.ready.as_secs_f64() * 1e3),
    ]))
}
