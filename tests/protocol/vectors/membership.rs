//! The membership log of the examples, entry by entry.

use graceful_protocol::membership::{Membership, account_id, hash, open};

use super::actors::{Actor, DESK, PHONE, entries};
use super::{Vector, hex};

pub fn authors() -> [(&'static str, Actor); 4] {
    [
        ("the desk creates the account", DESK),
        ("the desk adds the phone", DESK),
        ("the phone adds the tablet", PHONE),
        ("the desk removes the tablet", DESK),
    ]
}

pub fn all() -> Vec<Vector> {
    let entries = entries();
    let log = Membership::replay(&entries).expect("the whole log is valid");
    assert_eq!(
        (log.count(), log.key_epoch(), log.members().len()),
        (4, 1, 2)
    );
    let mut vectors = Vec::new();
    for (signed, (name, author)) in entries.iter().zip(authors()) {
        let entry = open(signed).expect("the body is an entry");
        let mut vector = Vector::new(
            name,
            "body is the encoded MembershipEntry; its fields are in proto/relay.proto",
        )
        .given("index", entry.index)
        .given("previous", hex(&entry.previous))
        .given("author_seed", hex(&author.seed))
        .given("body", hex(&signed.body))
        .gives("signature", hex(&signed.signature))
        .gives("hash", hex(hash(signed).as_bytes()));
        if entry.index == 0 {
            vector = vector.gives("account", hex(account_id(signed).as_bytes()));
        }
        vectors.push(vector);
    }
    vectors
}
