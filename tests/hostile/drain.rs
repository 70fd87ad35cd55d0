//! Draining: readiness ends first, devices are disconnected in batches, and nothing acknowledged is
//! lost.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{join_all, select_all};
use graceful_protocol::Code;
use graceful_protocol::frame::{RelayFrame, from_relay};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::attacker::{Device, address, get, say, status, websocket};
use crate::harness::{LONG, environment, quick_folder};
use graceful_testing::fixtures;
use graceful_testing::relay_process::RelayProcess;

/// Enough for several slices.
const DEVICES: usize = 150;
const PUSHERS: u8 = 4;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(8);

fn start(data: &Path) -> RelayProcess {
    RelayProcess::start(
        data,
        &environment(&[
            ("GRACEFUL_RELAY_SERVER__SHUTDOWN_TIMEOUT", "8s"),
            ("GRACEFUL_RELAY_LIMITS__CLOSE_TIMEOUT", "60s"),
            (
                "GRACEFUL_RELAY_RATE_LIMITS__PER_ACCOUNT_CONNECTIONS_MAX",
                "200",
            ),
        ]),
    )
}

async fn readiness(relay: &RelayProcess) -> String {
    let answer = say(address(0, 5), relay.address, &get("/health/ready", "")).await;
    status(&answer).to_owned()
}

/// Waits until it is not ready any more.
async fn not_ready(relay: &RelayProcess) {
    let deadline = Instant::now() + LONG;
    while readiness(relay).await == "200" {
        assert!(Instant::now() < deadline, "it stays ready");
    }
}

/// The time after which a device is to come back, and the code of the close frame.
async fn sent_away(device: &mut Device) -> (u64, u16) {
    let mut retry_after_ms = 0;
    loop {
        match device
            .socket
            .next()
            .await
            .expect("not without a word")
            .expect("not broken")
        {
            Message::Binary(bytes) => {
                if let RelayFrame::Refusal(refusal) = from_relay(bytes).expect("a frame") {
                    assert_eq!(refusal.code(), Code::Restarting, "{refusal:?}");
                    retry_after_ms = refusal.retry_after_ms;
                }
            }
            Message::Close(frame) => return (retry_after_ms, frame.expect("a code").code.into()),
            _ => {}
        }
    }
}

/// Pushes without a rest until the relay ends that. Returns what was acknowledged.
async fn push_on(mut device: Device) -> (u8, u64) {
    let mut acknowledged = 0;
    for number in 1.. {
        device
            .push(vec![fixtures::pushed(number, number, 20_000, None)])
            .await;
        match device.answer().await {
            Some(Ok(stored)) => acknowledged = stored,
            Some(Err(refusal)) => {
                assert_eq!(refusal.code(), Code::Restarting, "{refusal:?}");
                break;
            }
            None => break,
        }
    }
    (device.number, acknowledged)
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_disconnects_devices_and_loses_nothing() {
    let folder = quick_folder();
    let data = folder.path().join("relay");
    let mut relay = start(&data);
    drop(
        Device::create(address(0, 2), relay.address, 99)
            .await
            .expect("account is created"),
    );
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(
            Device::connect(address(0, 2), relay.address, 99, 99)
                .await
                .expect("a member")
                .0,
        );
    }
    let mut pushing = Vec::new();
    for number in 1..=PUSHERS {
        let device = Device::create(address(0, 3), relay.address, number)
            .await
            .expect("account is created");
        pushing.push(tokio::spawn(push_on(device)));
    }
    assert_eq!(readiness(&relay).await, "200");
    let begun = Instant::now();
    relay.terminate();

    // Once the first device is disconnected, the relay is not ready and accepts no connection.
    let leaving: Vec<_> = devices
        .iter_mut()
        .map(|device| Box::pin(sent_away(device)))
        .collect();
    let (first, _, others) = select_all(leaving).await;
    assert_eq!(readiness(&relay).await, "503");
    match websocket(address(0, 4), relay.address).await {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key("retry-after"));
        }
        other => panic!("accepted: {other:?}"),
    }
    let mut told = vec![first];
    told.extend(join_all(others).await);
    assert!(
        told.iter()
            .all(|(retry_after_ms, code)| *retry_after_ms > 0 && *code == 1012),
        "{told:?}"
    );
    let mut times: Vec<_> = told
        .iter()
        .map(|(retry_after_ms, _)| *retry_after_ms)
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(
        times.len() > DEVICES / 2,
        "not all are to come back at once: {times:?}"
    );
    assert!(relay.ended().success());
    assert!(
        begun.elapsed() < DRAIN_TIME_MAX + Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );

    // What was acknowledged is there.
    let relay = start(&data);
    for pushed in pushing {
        let (number, acknowledged) = pushed.await.expect("no panic");
        let (_, welcome) = Device::connect(address(0, 3), relay.address, number, number)
            .await
            .expect("a member");
        assert!(acknowledged > 0, "device {number} pushed nothing");
        assert!(
            welcome.push_number >= acknowledged,
            "{} < {acknowledged}",
            welcome.push_number
        );
    }
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_cuts_remaining_devices_at_timeout() {
    let folder = quick_folder();
    let mut relay = start(&folder.path().join("relay"));
    // It never answers the close frame, and the relay would wait for that for a minute.
    let _device = Device::create(address(0, 2), relay.address, 1)
        .await
        .expect("account is created");
    let begun = Instant::now();
    relay.terminate();
    assert!(relay.ended().success());
    assert!(
        begun.elapsed() < DRAIN_TIME_MAX + Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_during_drain_exits_at_once() {
    let folder = quick_folder();
    let mut relay = start(&folder.path().join("relay"));
    let _device = Device::create(address(0, 2), relay.address, 1)
        .await
        .expect("account is created");
    relay.terminate();
    not_ready(&relay).await;
    assert_eq!(relay.has_ended(), None, "it waits for the device");
    relay.terminate();
    assert_eq!(relay.ended().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_command_starts_a_drain() {
    let folder = quick_folder();
    let data = folder.path().join("relay");
    let mut relay = start(&data);
    let mut device = Device::create(address(0, 2), relay.address, 1)
        .await
        .expect("account is created");
    let asked = Command::new(graceful_testing::program::path())
        .arg("drain")
        .arg("--data-dir")
        .arg(&data)
        .output();
    let asked = asked.expect("the program starts");
    assert!(asked.status.success(), "{asked:?}");
    assert!(
        String::from_utf8_lossy(&asked.stdout).contains("draining"),
        "{asked:?}"
    );
    let (retry_after_ms, code) = sent_away(&mut device).await;
    assert!(retry_after_ms > 0 && code == 1012);
    drop(device);
    assert!(relay.ended().success());
}
