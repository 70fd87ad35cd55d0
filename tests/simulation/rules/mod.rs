//! Each rule against a naive model, through the store's server: random devices push, acknowledge,
//! come, go and delete while time passes, and at each step the store must hold and show exactly
//! what a list of plain values says.

mod model;
mod operator;
mod push;
mod silence;

use graceful_protocol::Limits;
use graceful_rules::membership::Registration;
use graceful_store::Options;
use model::{Step, World};
use proptest::prelude::*;

fn options() -> Options {
    let limits = Limits {
        retention_s: 100,
        account_envelopes_max: 40,
        account_devices_max: 4,
        membership_entries_max: 14,
        ..Limits::default()
    };
    Options {
        limits,
        registration: Registration::Open,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let device = 1..6_u8;
    prop_oneof![
        8 => (device.clone(), 1..6_usize, prop_oneof![4 => Just(None), 1 => (1..6_u8).prop_map(Some)], 300..200_000_usize)
            .prop_map(|(by, count, recipient, size)| Step::Push { by, count, recipient, size }),
        2 => (device.clone(), 1..4_u64).prop_map(|(by, back)| Step::Repeat { by, back }),
        8 => (device.clone(), 0..12_u64).prop_map(|(by, ahead)| Step::Ack { by, ahead }),
        3 => (device.clone(), device.clone()).prop_map(|(by, who)| Step::Add { by, who }),
        2 => (device.clone(), device.clone()).prop_map(|(by, who)| Step::Remove { by, who }),
        1 => (device.clone(), 0..60_u64).prop_map(|(by, through)| Step::DeleteThrough { by, through }),
        3 => (1..60_u64).prop_map(|seconds| Step::Wait { seconds }),
        2 => Just(Step::Sweep),
        1 => device.prop_map(|by| Step::Close { by }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn store_matches_plain_list_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(options());
        for step in steps {
            world.take(&step);
            world.compare();
        }
    }
}

#[test]
fn deleted_account_leaves_no_row() {
    let mut world = World::new(options());
    world.take(&Step::Add { by: 1, who: 2 });
    world.take(&Step::Push {
        by: 1,
        count: 3,
        recipient: None,
        size: 150_000,
    });
    assert_eq!(world.totals(), (1, 3));
    world.take(&Step::Close { by: 2 });
    assert_eq!(world.totals(), (0, 0));
    assert_eq!(world.rows(), 0);
}
