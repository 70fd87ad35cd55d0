//! Session timeouts and what counts as activity.

use std::sync::Arc;

use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{JoinRendezvous, Ping};
use graceful_protocol::{Code, Limits, RelayId, StoreEpoch};
use graceful_rules::membership::Registration;
use graceful_rules::session::{Output, ServerNames, Session, SessionConfig};

const AUTHENTICATION_MS: u64 = 10_000;
const SILENCE_MS: u64 = 75_000;

fn session() -> Session {
    let config = SessionConfig {
        relay_id: RelayId::new([1; 16]),
        epoch: StoreEpoch::new([2; 16]),
        limits: Limits::default(),
        registration: Registration::Open,
        server_names: ServerNames::default(),
        auth_timeout_ms: AUTHENTICATION_MS,
    };
    let mut session = Session::new(Arc::new(config), [3; 32], 0, 0);
    assert!(matches!(
        session.poll_output(),
        Some(Output::Send(RelayFrame::Greeting(_)))
    ));
    session
}

fn joining() -> Session {
    let mut session = session();
    let join = JoinRendezvous {
        id: vec![9; 16].into(),
        sealed: "it is me".into(),
    };
    session.handle_frame(DeviceFrame::JoinRendezvous(join), 0);
    assert!(matches!(
        session.poll_output(),
        Some(Output::JoinRendezvous { .. })
    ));
    session
}

#[track_caller]
fn times_out(session: &mut Session) {
    let Some(Output::Send(RelayFrame::Refusal(refusal))) = session.poll_output() else {
        panic!("refused");
    };
    assert_eq!(refusal.code(), Code::Timeout);
    assert!(matches!(
        session.poll_output(),
        Some(Output::Close { code: 4408, .. })
    ));
}

#[test]
fn auth_timeout_ignores_trickling_bytes() {
    let mut stranger = session();
    stranger.handle_timeout(AUTHENTICATION_MS - 1);
    assert_eq!(stranger.poll_output(), None);
    stranger.on_activity(AUTHENTICATION_MS - 1);
    stranger.handle_timeout(AUTHENTICATION_MS);
    times_out(&mut stranger);
}

#[test]
fn idle_timeout_counts_partial_frames_as_activity() {
    let mut silent = joining();
    silent.handle_timeout(SILENCE_MS);
    times_out(&mut silent);

    let mut slow = joining();
    slow.on_activity(SILENCE_MS - 1);
    slow.handle_timeout(SILENCE_MS);
    assert_eq!(slow.poll_output(), None);
    slow.handle_frame(DeviceFrame::Ping(Ping { number: 1 }), 2 * SILENCE_MS - 2);
    assert!(matches!(
        slow.poll_output(),
        Some(Output::Send(RelayFrame::Pong(_)))
    ));
    slow.handle_timeout(3 * SILENCE_MS - 3);
    assert_eq!(slow.poll_output(), None);
    slow.handle_timeout(3 * SILENCE_MS);
    times_out(&mut slow);
}
