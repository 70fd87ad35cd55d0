//! A disk that fills up: a small tmpfs mounted for the test. Mounting needs root; without it the
//! test reports that it checks nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use graceful_protocol::Code;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{Ack, DeleteThrough};

use crate::attacker::{Device, address};
use crate::harness::{LONG, environment, status};
use graceful_testing::fixtures;
use graceful_testing::relay_process::RelayProcess;

const DISK_BYTES: u64 = 48 << 20;
const ENVELOPE_BYTES: usize = 200_000;
/// More than fits on the disk.
const PUSHES_MAX: u64 = 1_000;

/// A small disk; unmounted when dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={DISK_BYTES},mode=700");
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            println!(
                "LEFT OUT: no file system can be mounted here, so nothing is shown about a full disk"
            );
            return None;
        }
        Some(Self { folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("relay")
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Takes all that is free but this much.
    fn fill(&self, but: u64) {
        let free = self.free();
        let file = std::fs::File::create(self.filler()).expect("a file");
        let bytes = vec![7; usize::try_from(free.saturating_sub(but)).expect("a small disk")];
        std::io::Write::write_all(&mut { &file }, &bytes).expect("there is room for it");
    }

    fn free(&self) -> u64 {
        let said = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.folder.path())
            .output();
        let said = String::from_utf8(said.expect("df is there").stdout).expect("text");
        said.lines()
            .last()
            .expect("a line")
            .trim()
            .parse()
            .expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(self.folder.path())
            .status();
        assert!(
            unmounted.is_ok_and(|unmounted| unmounted.success()),
            "unmount {}",
            self.folder.path().display()
        );
    }
}

fn settings(free_bytes_min: &'static str) -> Vec<(&'static str, &'static str)> {
    environment(&[
        ("GRACEFUL_RELAY_STORAGE__MIN_FREE_SPACE", free_bytes_min),
        ("GRACEFUL_RELAY_STORAGE__BALLAST_SIZE", "4MiB"),
    ])
}

async fn come(relay: &RelayProcess, number: u8) -> Device {
    Device::connect(address(0, 2), relay.address, number, 1)
        .await
        .expect("a member")
        .0
}

/// Pushes one after the other until that does not go on. Returns the last that was acknowledged, and
/// the refusal; `None` where the relay ended instead.
async fn push_until_stopped(
    device: &mut Device,
    from: u64,
) -> (u64, Option<graceful_protocol::wire::Refusal>) {
    for number in from..from + PUSHES_MAX {
        device
            .push(vec![fixtures::pushed(number, number, ENVELOPE_BYTES, None)])
            .await;
        match device.answer().await {
            Some(Ok(stored)) => assert_eq!(stored, number),
            Some(Err(refusal)) => return (number - 1, Some(refusal)),
            None => return (number - 1, None),
        }
    }
    panic!("the disk does not fill up");
}

/// Takes everything up to a push and acknowledges it in steps.
async fn take_through(device: &mut Device, from: u64, through: u64) {
    let mut next = from;
    while next <= through {
        let deliver = device
            .wait(|frame| match frame {
                RelayFrame::Deliver(deliver) if !deliver.envelopes.is_empty() => Some(deliver),
                RelayFrame::Gap(gap) => panic!("lost: {gap:?}"),
                RelayFrame::Refusal(refusal) => panic!("refused: {refusal:?}"),
                _ => None,
            })
            .await;
        for envelope in deliver.envelopes {
            if envelope.push_number >= next {
                assert_eq!(envelope.push_number, next, "in order, each once");
                assert_eq!(envelope.sealed, fixtures::sealed(next, ENVELOPE_BYTES));
                next += 1;
            }
        }
        device
            .send(DeviceFrame::Ack(Ack {
                through: deliver.through,
            }))
            .await;
    }
}

async fn keeps(data: &Path, envelopes: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        let status = status(data).await;
        if status["envelopes"] == envelopes {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{envelopes} envelopes were to be kept: {status}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pushes the envelope again until disk space allows it.
async fn push_when_there_is_room(device: &mut Device, number: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        device
            .push(vec![fixtures::pushed(number, number, ENVELOPE_BYTES, None)])
            .await;
        match device.answer().await.expect("open") {
            Ok(stored) => return assert_eq!(stored, number),
            Err(refusal) => assert_eq!(refusal.code(), Code::StorageFull, "{refusal:?}"),
        }
        assert!(Instant::now() < deadline, "pushes never go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_wait_at_disk_watermark() {
    let Some(disk) = Disk::mount() else { return };
    let relay = RelayProcess::start(&disk.data(), &settings("12 MiB"));
    let mut one = Device::create(address(0, 2), relay.address, 1)
        .await
        .expect("account is created");
    one.add(2).await;
    let (kept, refusal) = push_until_stopped(&mut one, 1).await;
    let refusal = refusal.expect("refused, not ended");
    assert_eq!(
        (refusal.code(), refusal.push_number),
        (Code::StorageFull, kept + 1)
    );
    assert!(
        refusal.retry_after_ms > 0 && kept > 20,
        "{kept} were kept: {refusal:?}"
    );
    // Duplicates are confirmed, account creation is refused, and known devices reconnect.
    one.push(vec![fixtures::pushed(kept, kept, ENVELOPE_BYTES, None)])
        .await;
    assert_eq!(one.answer().await.expect("open"), Ok(kept));
    let refusal = Device::create(address(0, 2), relay.address, 7)
        .await
        .map(drop)
        .expect_err("no room");
    assert!(
        refusal.code() == Code::Overloaded && refusal.retry_after_ms > 0,
        "{refusal:?}"
    );
    // Delivering, acknowledging and deleting go on.
    let mut two = come(&relay, 2).await;
    take_through(&mut two, 1, kept / 2).await;
    one.send(DeviceFrame::DeleteThrough(DeleteThrough { through: kept }))
        .await;
    one.wait(|frame| matches!(frame, RelayFrame::Deleted(_)).then_some(()))
        .await;
    keeps(&disk.data(), 0).await;
    // And it goes back by itself, whether or not the store's file has shrunk by now,
    push_when_there_is_room(&mut one, kept + 1).await;
    // until what is kept fills it again.
    let (again, refusal) = push_until_stopped(&mut one, kept + 2).await;
    assert_eq!(
        refusal.expect("refused, not ended").code(),
        Code::StorageFull
    );
    assert!(again > kept + 10, "{again} after {kept}");
    drop((one, two));
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_loses_nothing_and_recovers_by_ballast() {
    let Some(disk) = Disk::mount() else { return };
    // Without a watermark, so that the disk can be filled to the last byte.
    let mut relay = RelayProcess::start(&disk.data(), &settings("0 B"));
    let ballast = disk.data().join("ballast");
    assert_eq!(
        std::fs::metadata(&ballast)
            .expect("laid at the start")
            .len(),
        4 << 20
    );
    let mut one = Device::create(address(0, 2), relay.address, 1)
        .await
        .expect("account is created");
    one.add(2).await;
    one.push(vec![fixtures::pushed(1, 1, ENVELOPE_BYTES, None)])
        .await;
    assert_eq!(one.answer().await.expect("open"), Ok(1));
    disk.fill(3 << 20);
    let (acknowledged, refusal) = push_until_stopped(&mut one, 2).await;
    // The commit failed, and that ends the process; there may be time left to say so.
    let code = refusal.map(|refusal| refusal.code());
    assert!(code.is_none_or(|code| code == Code::Restarting), "{code:?}");
    assert!(!relay.ended().success());

    // After a restart the relay can free space.
    let relay = RelayProcess::start(&disk.data(), &settings("1 MiB"));
    assert!(!ballast.exists(), "thrown off");
    let mut two = come(&relay, 2).await;
    take_through(&mut two, 1, acknowledged).await;
    let mut one = come(&relay, 1).await;
    one.send(DeviceFrame::DeleteThrough(DeleteThrough {
        through: acknowledged,
    }))
    .await;
    one.wait(|frame| matches!(frame, RelayFrame::Deleted(_)).then_some(()))
        .await;
    drop((one, two));
    relay.stop();

    // With free space it works as before and recreates the ballast.
    std::fs::remove_file(disk.filler()).expect("it is ours");
    let relay = RelayProcess::start(&disk.data(), &settings("1 MiB"));
    assert!(ballast.exists(), "laid again");
    let (mut one, welcome) = Device::connect(address(0, 2), relay.address, 1, 1)
        .await
        .expect("a member");
    assert!(
        welcome.push_number >= acknowledged,
        "{} < {acknowledged}",
        welcome.push_number
    );
    let next = welcome.push_number + 1;
    one.push(vec![fixtures::pushed(next, next, ENVELOPE_BYTES, None)])
        .await;
    assert_eq!(one.answer().await.expect("open"), Ok(next));
    drop(one);
    relay.stop();
}
