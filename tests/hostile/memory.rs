//! Memory of a connection after a large change.

use crate::attacker::{Device, address};
use crate::harness::{TestRelay, resident_kib};
use graceful_testing::fixtures;

const CONNECTIONS: u8 = 200;
const ENVELOPE_BYTES: usize = 1_000_000;

/// Pages of the store that are kept in memory, and what else there is once, however many connections: the
/// journal's rows, what the allocator keeps for the next large frame.
const ONCE_KIB: u64 = 24 * 1024;

/// For each connection, once what is there once is there.
const EACH_KIB: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn connection_memory_after_large_change_is_unchanged() {
    let relay_under_test = TestRelay::open(&[]);
    let mut devices = Vec::new();
    for number in 1..=CONNECTIONS {
        let from = address(number / 10, number % 10 + 1);
        devices.push(
            Device::create(from, relay_under_test.relay.address, number)
                .await
                .expect("account is created"),
        );
    }
    let resident = || resident_kib(relay_under_test.relay.id()).expect("the relay runs");
    let idle = resident();
    let mut after = Vec::new();
    for round in 1..=3 {
        for device in &mut devices {
            device
                .push(vec![fixtures::pushed(round, round, ENVELOPE_BYTES, None)])
                .await;
            assert_eq!(device.answer().await.expect("open"), Ok(round));
        }
        after.push(resident());
    }
    println!(
        "{CONNECTIONS} connections: {idle} KiB before large changes, after rounds of them {after:?}"
    );
    assert!(
        after[0] < idle + ONCE_KIB,
        "{idle} KiB, and {after:?} after large changes"
    );
    assert!(
        after[2] < after[0] + EACH_KIB * u64::from(CONNECTIONS),
        "{after:?} KiB: it grows"
    );
}
