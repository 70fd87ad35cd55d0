//! Padded sizes, the running hash of a log, and the answer to a greeting.

use graceful_protocol::challenge::Challenge;
use graceful_protocol::envelope::{SIZE_MIN, is_padded_size, padded_size};
use graceful_protocol::{StoreEpoch, chain};

use super::actors::{DESK, PHONE, account};
use super::{Vector, hex};

pub fn padded_sizes() -> Vec<Vector> {
    let lengths = [
        SIZE_MIN, 362, 500, 511, 512, 513, 1_000, 1_023, 1_024, 1_025, 1_500, 1_536, 1_537, 2_047,
        2_048, 2_049, 4_000, 65_000, 65_024, 65_025, 65_536, 65_537, 100_000, 1_048_064, 1_048_065,
        1_126_400,
    ];
    lengths
        .iter()
        .map(|length| {
            let size = padded_size(*length);
            assert!(is_padded_size(size));
            Vector::new(
                &format!("{length} bytes"),
                "the size that an envelope of this length is padded to",
            )
            .given("length", *length)
            .gives("padded", size)
        })
        .collect()
}

pub fn chain() -> Vec<Vector> {
    let mut before = chain::START;
    let log = [
        (&DESK, 1_u64, vec![1; 353]),
        (&PHONE, 2, vec![2; 353]),
        (&DESK, 3, vec![3; 400]),
    ];
    let mut vectors = Vec::new();
    for (sender, seq, sealed) in log {
        let sender = sender.keys().device();
        let after = chain::extend(&before, seq, &sender, &sealed);
        let vector = Vector::new(
            &format!("seq {seq}"),
            "the running hash after one more envelope",
        )
        .given("before", hex(before.as_bytes()))
        .given("seq", seq)
        .given("sender", hex(sender.as_bytes()))
        .given("sealed", hex(&sealed))
        .gives("chain", hex(after.as_bytes()));
        vectors.push(vector);
        before = after;
    }
    vectors
}

pub fn challenges() -> Vec<Vector> {
    let hosts = [
        ("a name", "relay.example"),
        ("an IPv4 address", "192.0.2.7"),
        ("an IPv6 address", "2001:db8::7"),
    ];
    let vectors = hosts.iter().map(|(name, host)| {
        let keys = DESK.keys();
        let challenge = Challenge {
            nonce: &[0x4e; 32],
            epoch: StoreEpoch::new([0x45; 16]),
            host,
            account: account(),
            device: keys.device(),
        };
        let signature = challenge.sign(keys.signing());
        assert!(challenge.verify(&signature));
        Vector::new(name, "what a device signs to prove itself")
            .given("nonce", hex(challenge.nonce))
            .given("store_epoch", hex(challenge.epoch.as_bytes()))
            .given("account", hex(challenge.account.as_bytes()))
            .given("device_seed", hex(&DESK.seed))
            .given("host_text", *host)
            .gives("device", hex(challenge.device.as_bytes()))
            .gives("message", hex(&challenge.message()))
            .gives("signature", hex(&signature))
    });
    vectors.collect()
}
