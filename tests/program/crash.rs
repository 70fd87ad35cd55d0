//! A relay killed again and again under load, with a real ledger: at the end every change is there
//! exactly once, in order, and the relay keeps none.
#![cfg(unix)]

use graceful_store::{Engine as _, Options, Store};
use graceful_testing::devices::{Device, assert_converged, ledger, two_devices};
use graceful_testing::relay_process::{Address, RelayProcess};

/// How often the relay dies.
const KILLS: usize = 32;

const REGISTRATION: [(&str, &str); 1] = [("GRACEFUL_RELAY_ACCOUNTS__REGISTRATION", "open")];

/// A number from a fixed stream: which moments, not whether.
fn next(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// Pushes one life's share in pieces, and returns at a random moment of it.
async fn live(laptop: &mut Device, phone: &mut Device, share: &[String], state: &mut u64) {
    let (half, other) = share.split_at(share.len() / 2);
    let (had_laptop, had_phone) = (laptop.had.borrow().len(), phone.had.borrow().len());
    laptop.push(half).await;
    phone.push(other).await;
    match next(state, 4) {
        // With the pushes on their way, somewhere in the writer or not yet there.
        0 => {
            for _ in 0..next(state, 200) {
                tokio::task::yield_now().await;
            }
        }
        1 => phone.more_than(had_phone, 1).await,
        2 => laptop.more_than(had_laptop, 1 + other.len() / 2).await,
        _ => phone.more_than(had_phone, half.len()).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_killed_under_load_delivers_every_change_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let address = Address::open().await;
    let mut relay = RelayProcess::start(&data, &REGISTRATION);
    address.route_to(Some(relay.address));
    let (mut laptop, mut phone) = two_devices(folder.path(), &address.url()).await;

    let ledger = ledger();
    let mut state = 2_026;
    for share in ledger.chunks(ledger.len().div_ceil(KILLS)) {
        live(&mut laptop, &mut phone, share, &mut state).await;
        address.route_to(None);
        relay.kill();
        relay = RelayProcess::start(&data, &REGISTRATION);
        address.route_to(Some(relay.address));
    }

    let shares = ledger.chunks(ledger.len().div_ceil(KILLS));
    assert!(shares.len() >= 30);
    let (mut from_laptop, mut from_phone) = (Vec::new(), Vec::new());
    for share in shares {
        let (half, other) = share.split_at(share.len() / 2);
        from_laptop.extend_from_slice(half);
        from_phone.extend_from_slice(other);
    }
    assert_converged(laptop, phone, &from_laptop, &from_phone).await;
    relay.stop();
    let store = Store::open(&data, Options::default()).expect("opens");
    let totals = store.totals().expect("reads");
    assert_eq!(
        (totals.accounts, totals.envelopes),
        (1, 0),
        "nothing remains that both have acknowledged"
    );
}
