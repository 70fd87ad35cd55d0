//! A real relay, two honest devices that keep syncing, and a monitor of the relay's memory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use graceful_client::{Change, Client, Incoming};
use graceful_server::admin::{AdminRequest, AdminResponse, request};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use graceful_testing::devices::LONG;
use graceful_testing::devices::two_clients;
use graceful_testing::relay_process::RelayProcess;

/// Round trips that the honest devices must make while something goes on.
const ROUNDS: usize = 40;

/// What is promised to honest devices, whatever others do.
const P99_MAX: Duration = Duration::from_secs(1);

/// What the relay may have in memory in these tests, in KiB: the program, 8 MiB of cache and what is on
/// its way to the disk. The bound in docs/reference/limits.md, with each connection at its worst, is far above.
const MEMORY_KIB_MAX: u64 = 128 * 1024;

/// One attack at a time: two would each spoil the times of the other.
static ALONE: Mutex<()> = Mutex::new(());

pub struct TestRelay {
    pub relay: RelayProcess,
    pub data: PathBuf,
    folder: tempfile::TempDir,
    watching: JoinHandle<()>,
    memory_kib: Arc<AtomicU64>,
    _alone: MutexGuard<'static, ()>,
}

/// A folder in memory where there is one: it is the relay that is measured, not a busy disk.
pub fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

impl TestRelay {
    pub fn open(settings: &[(&str, &str)]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = quick_folder();
        let data = folder.path().join("relay");
        let relay = RelayProcess::start(&data, &environment(settings));
        let memory_kib = Arc::new(AtomicU64::new(0));
        let (id, most) = (relay.id(), memory_kib.clone());
        let watching = tokio::spawn(async move {
            while let Some(kib) = resident_kib(id) {
                most.fetch_max(kib, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            relay,
            data,
            folder,
            watching,
            memory_kib,
            _alone: alone,
        }
    }

    /// Does something while the honest devices sync, and judges how they fared.
    pub async fn while_syncing<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let honest = Honest::start(&self.folder.path().join("honest"), &self.relay.url()).await;
        let result = {
            // What the attack opened stays open until the rounds are made.
            let (result, ()) = tokio::join!(attack, honest.rounds(ROUNDS));
            honest.rounds(ROUNDS).await;
            result
        };
        honest.judge(what).await;
        let most = self.memory_kib.load(Ordering::Relaxed);
        println!(
            "{what}: the relay had at most {} MiB in memory",
            most / 1024
        );
        assert!(most > 1024, "the memory was not measured");
        assert!(most < MEMORY_KIB_MAX, "{what}: {most} KiB in memory");
        result
    }

    /// Waits until the relay has this many sessions.
    pub async fn has_connections(&self, count: u64) {
        let deadline = Instant::now() + LONG;
        loop {
            let status = status(&self.data).await;
            if status["connections"] == count {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{count} connections were to remain: {status}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// What the running relay says of itself.
pub async fn status(data: &std::path::Path) -> serde_json::Value {
    match request(data, &AdminRequest::Status {})
        .await
        .expect("the relay runs")
    {
        AdminResponse::Status(status) => status,
        other => panic!("not the status: {other:?}"),
    }
}

/// Settings of these tests, and those of one of them.
pub fn environment<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let all = [
        ("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open"),
        ("GRACEFUL_RELAY_STORAGE__CACHE_SIZE", "8MiB"),
        ("GRACEFUL_RELAY_STORAGE__MIN_FREE_SPACE", "0B"),
        ("GRACEFUL_RELAY_STORAGE__BALLAST_SIZE", "0MiB"),
    ];
    let others = all
        .into_iter()
        .filter(|(name, _)| settings.iter().all(|(other, _)| other != name));
    others.chain(settings.iter().copied()).collect()
}

#[cfg(target_os = "linux")]
pub fn resident_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Two devices that tell each other something again and again.
pub struct Honest {
    times: Arc<Mutex<Vec<Duration>>>,
    count: watch::Receiver<usize>,
    syncing: JoinHandle<()>,
}

impl Honest {
    pub async fn start(folder: &std::path::Path, url: &str) -> Self {
        let (laptop, phone) = two_clients(folder, url).await;
        let times = Arc::new(Mutex::new(Vec::new()));
        let (counting, count) = watch::channel(0);
        let noting = times.clone();
        let syncing = tokio::spawn(async move {
            let (mut to_phone, mut to_laptop) = (heard(&phone), heard(&laptop));
            for number in 1.. {
                for (from, to) in [(&laptop, &mut to_phone), (&phone, &mut to_laptop)] {
                    let begun = Instant::now();
                    let change = Change::new("note", format!("change {number}"));
                    from.push([change]).await.expect("the outbox takes it");
                    to.wait_for(|heard| *heard >= number)
                        .await
                        .expect("it is followed");
                    noting.lock().expect("not poisoned").push(begun.elapsed());
                    counting.send_modify(|count| *count += 1);
                    // A device with a person in front of it, not a benchmark.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Self {
            times,
            count,
            syncing,
        }
    }

    /// Waits for so many more round trips.
    pub async fn rounds(&self, more: usize) {
        let mut count = self.count.clone();
        let due = *count.borrow() + more;
        let made = tokio::time::timeout(LONG, count.wait_for(|count| *count >= due)).await;
        made.expect("the honest devices sync").expect("they go on");
    }

    pub async fn judge(self, what: &str) {
        self.syncing.abort();
        let ended = self.syncing.await;
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "{what}: an honest device failed"
        );
        let mut times = self.times.lock().expect("not poisoned").clone();
        times.sort();
        assert!(
            times.len() >= ROUNDS,
            "{what}: only {} round trips",
            times.len()
        );
        let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!(
            "{what}: {} round trips, median {median:?}, p99 {p99:?}",
            times.len()
        );
        assert!(p99 < P99_MAX, "{what}: p99 {p99:?}, median {median:?}");
    }
}

fn heard(client: &Client) -> watch::Receiver<u32> {
    let (hearing, heard) = watch::channel(0);
    let client = client.clone();
    tokio::spawn(async move {
        let mut changes = client.changes();
        while let Some(incoming) = changes.next().await {
            assert!(
                matches!(incoming, Incoming::Change(_)),
                "nothing may be lost"
            );
            hearing.send_modify(|heard| *heard += 1);
            if client.applied(&incoming).await.is_err() {
                return;
            }
        }
    });
    heard
}
