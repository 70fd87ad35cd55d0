//! How long a conversation waits for a device, and what counts as a sign of life.

use std::sync::Arc;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{JoinRendezvous, Ping};
use graceful_protocol::{Code, Limits, RelayId, StoreEpoch};
use graceful_rules::conversation::{Conversation, Hosts, Request, Terms};
use graceful_rules::membership::Registration;

const AUTHENTICATION_MS: u64 = 10_000;
const SILENCE_MS: u64 = 75_000;

fn conversation() -> Conversation {
    let terms = Terms {
        relay_id: RelayId::new([1; 16]),
        epoch: StoreEpoch::new([2; 16]),
        limits: Limits::default(),
        registration: Registration::Open,
        hosts: Hosts::default(),
        authentication_ms_max: AUTHENTICATION_MS,
    };
    let mut conversation = Conversation::new(Arc::new(terms), [3; 32], 0, 0);
    assert!(matches!(
        conversation.next(),
        Some(Request::Send(RelayFrame::Greeting(_)))
    ));
    conversation
}

fn joining() -> Conversation {
    let mut conversation = conversation();
    let join = JoinRendezvous {
        id: vec![9; 16].into(),
        sealed: "it is me".into(),
    };
    conversation.received(DeviceFrame::JoinRendezvous(join), 0);
    assert!(matches!(
        conversation.next(),
        Some(Request::JoinSlot { .. })
    ));
    conversation
}

#[track_caller]
fn times_out(conversation: &mut Conversation) {
    let Some(Request::Send(RelayFrame::Refusal(refusal))) = conversation.next() else {
        panic!("refused");
    };
    assert_eq!(refusal.code(), Code::Timeout);
    assert!(matches!(
        conversation.next(),
        Some(Request::Close { code: 4408, .. })
    ));
}

#[test]
fn a_stranger_has_its_time_to_say_who_it_is_and_trickling_bytes_give_it_no_more() {
    let mut stranger = conversation();
    stranger.tick(AUTHENTICATION_MS - 1);
    assert_eq!(stranger.next(), None);
    stranger.alive(AUTHENTICATION_MS - 1);
    stranger.tick(AUTHENTICATION_MS);
    times_out(&mut stranger);
}

#[test]
fn silence_ends_a_conversation_and_bytes_on_their_way_do_not_count_as_silence() {
    let mut silent = joining();
    silent.tick(SILENCE_MS);
    times_out(&mut silent);

    let mut slow = joining();
    slow.alive(SILENCE_MS - 1);
    slow.tick(SILENCE_MS);
    assert_eq!(slow.next(), None);
    slow.received(DeviceFrame::Ping(Ping { number: 1 }), 2 * SILENCE_MS - 2);
    assert!(matches!(
        slow.next(),
        Some(Request::Send(RelayFrame::Pong(_)))
    ));
    slow.tick(3 * SILENCE_MS - 3);
    assert_eq!(slow.next(), None);
    slow.tick(3 * SILENCE_MS);
    times_out(&mut slow);
}
