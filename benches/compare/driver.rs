//! The driver interface of all servers, and the load, which is the same loop for all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use graceful_loadgen::process::{Process, Used};
use graceful_loadgen::stats::{Stats, Summary};
use graceful_loadgen::timer::{Rate, Timer};
use graceful_loadgen::worker::Payload;
use rustls::ClientConfig;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// Concurrent connection attempts.
const CONNECTING: usize = 32;

/// Address of a server.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    /// URL of the relay.
    pub url: String,
}

/// One connection of a client that pushes, or of one that receives. Each number is an account.
pub trait Driver: Send + Sized + 'static {
    /// Prepares the server before any connection.
    fn prepare(_target: &Target) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
    fn connect(target: &Target, number: usize) -> impl Future<Output = Result<Self>> + Send;
    /// Returns when the server has acknowledged it.
    fn push(&mut self, payload: &Bytes) -> impl Future<Output = Result<()>> + Send;
    /// Another device of that account, which receives from now on.
    fn listen(
        &mut self,
        target: &Target,
        number: usize,
    ) -> impl Future<Output = Result<Self>> + Send;
    fn receive(&mut self) -> impl Future<Output = Result<Vec<Bytes>>> + Send;
}

/// Load and duration.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub bytes: usize,
    /// Rate of all connections together; absent: one push in flight per connection.
    pub rate: Option<f64>,
    /// Another device of each account receives.
    pub deliver: bool,
    pub warm_up: Duration,
    pub duration: Duration,
}

/// Results.
pub struct Result_ {
    pub stored: Summary,
    pub delivered: Option<Summary>,
    pub server: Used,
    pub generator: Used,
}

struct Run {
    started: Instant,
    end: Duration,
    payload: Payload,
    stored: Stats,
    delivered: Stats,
}

/// Connects concurrently.
pub async fn connect_all<D: Driver>(target: &Target, count: usize) -> Result<Vec<D>> {
    let permits = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (target, permits) = (target.clone(), permits.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            D::connect(&target, number)
                .await
                .map(|driver| (number, driver))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, driver)| driver).collect())
}

/// Runs the load and measures.
pub async fn run<D: Driver>(target: &Target, server: Process, load: Load) -> Result<Result_> {
    D::prepare(target).await?;
    let mut pushing = connect_all::<D>(target, load.connections).await?;
    let mut listening = Vec::new();
    for (number, driver) in pushing.iter_mut().enumerate().filter(|_| load.deliver) {
        listening.push(driver.listen(target, number).await?);
    }
    let window = load.warm_up..load.warm_up + load.duration;
    let run = Arc::new(Run {
        started: Instant::now(),
        end: window.end,
        payload: Payload::random(load.bytes),
        stored: Stats::new(window.clone()),
        delivered: Stats::new(window.clone()),
    });
    let mut tasks = JoinSet::new();
    let mut listeners = JoinSet::new();
    let mut wakes = Vec::new();
    for mut driver in listening {
        let run = run.clone();
        listeners.spawn(async move { receive(&mut driver, &run).await });
    }
    let rate = load.rate.map(|frames_per_s| Rate {
        frames_per_s,
        devices: load.connections,
    });
    for (number, driver) in pushing.into_iter().enumerate() {
        let (run, wake) = (run.clone(), Arc::new(Notify::new()));
        wakes.push(wake.clone());
        tasks.spawn(async move {
            match rate {
                Some(rate) => push_when_due(driver, &run, &wake, rate, number).await,
                None => push_on(driver, &run).await,
            }
        });
    }
    let _timer = rate.map(|rate| Timer::start(rate, run.started, wakes));
    let own = Process::new(std::process::id());
    let used = || {
        Ok::<_, anyhow::Error>((
            server.used().ok_or_else(|| anyhow!("the server is gone"))?,
            own.used_alone(),
        ))
    };
    tokio::time::sleep_until((run.started + window.start).into()).await;
    let before = used()?;
    tokio::time::sleep_until((run.started + window.end).into()).await;
    let after = used()?;
    // Kept open until the deliveries are counted.
    let mut drivers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        drivers.push(done??);
    }
    if load.deliver {
        let patience = Instant::now() + Duration::from_secs(5);
        while run.delivered.all() < run.stored.all() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    listeners.abort_all();
    Ok(Result_ {
        stored: run.stored.summary(),
        delivered: load.deliver.then(|| run.delivered.summary()),
        server: after.0.since(&before.0),
        generator: after.1.since(&before.1),
    })
}

async fn push_on<D: Driver>(mut driver: D, run: &Run) -> Result<D> {
    loop {
        let now = run.started.elapsed();
        if now >= run.end {
            return Ok(driver);
        }
        driver.push(&run.payload.stamped(now)).await?;
        run.stored.done(now, run.started.elapsed(), 1);
    }
}

async fn push_when_due<D: Driver>(
    mut driver: D,
    run: &Run,
    wake: &Notify,
    rate: Rate,
    number: usize,
) -> Result<D> {
    for turn in 0_u64.. {
        let moment = rate.moment(number as u64 + turn * rate.devices as u64);
        if moment >= run.end {
            break;
        }
        while run.started.elapsed() < moment {
            wake.notified().await;
        }
        driver.push(&run.payload.stamped(moment)).await?;
        run.stored.done(moment, run.started.elapsed(), 1);
    }
    Ok(driver)
}

async fn receive<D: Driver>(driver: &mut D, run: &Run) -> Result<()> {
    loop {
        let payloads = driver.receive().await?;
        let now = run.started.elapsed();
        for payload in payloads {
            if let Some(intended) = run.payload.intended(&payload) {
                run.delivered.done(intended, now, 1);
            }
        }
    }
}
