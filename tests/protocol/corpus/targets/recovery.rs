//! Typed recovery phrases, and a recovery at an arbitrary relay.

use graceful_client::{DeviceKeys, EngineState, Identity, RecoveryKey};
use graceful_engine::FnRng;
use graceful_engine::mnemonic::{WORDS, count};
use graceful_engine::pairing::Joining;
use graceful_engine::recovery::{Recovery, Step};
use graceful_protocol::frame::{DeviceFrame, RelayFrame, from_relay};
use graceful_protocol::membership::{Membership, account_id};
use graceful_protocol::wire::{self, SignedEntry};
use graceful_protocol::{Code, Refusal};

use super::script::Script;

/// Counts.
fn counting(mut next: u8) -> FnRng<impl FnMut(&mut [u8]) + Send> {
    FnRng(move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    })
}

/// What is read as a recovery key is shown and read again as the same.
pub fn recovery_words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = text.parse::<RecoveryKey>() {
        assert_eq!(count(&text), WORDS);
        assert_eq!(key.words().join("\n").parse(), Ok(key));
    }
    // Any 16 bytes are words.
    if let Some(entropy) = data.first_chunk() {
        let key = RecoveryKey::from_entropy(*entropy);
        assert_eq!(key.words().join(" ").parse(), Ok(key));
    }
}

/// An account with a recovery key, and a device that was added and removed.
fn log(key: &RecoveryKey) -> Vec<SignedEntry> {
    let mut chance = counting(0);
    let identity = Identity::create_with_recovery("desk-1", "Desk", Some(key), &mut chance);
    let state = EngineState::new(&identity).expect("its own log is right");
    let mut view = state.account().clone();
    for _ in 0..2 {
        let entry = view
            .sign_add(&joining(&DeviceKeys::random(&mut chance)))
            .expect("a good key");
        view.append(&entry).expect("its own entry is right");
    }
    let last = view.membership().members()[2].device;
    let entry = view.sign_remove(&last, &mut chance).expect("good keys");
    view.append(&entry).expect("its own entry is right");
    view.entries().to_vec()
}

fn joining(keys: &DeviceKeys) -> Joining {
    Joining {
        device: keys.device(),
        agreement: keys.agreement().public(),
        name: "x".to_owned(),
    }
}

/// Whatever the relay says: an account that comes of it is that of the words, and has the device.
pub fn recovery(data: &[u8]) {
    recovers(data);
}

/// Whether an account comes of it.
pub fn recovers(data: &[u8]) -> bool {
    let key = RecoveryKey::from_entropy([7; 16]);
    let mut shown = log(&key);
    let account = account_id(&shown[0]);
    let device = joining(&DeviceKeys::random(&mut counting(77)));
    let mut script = Script::new(data);
    let remove_others = script.byte().is_multiple_of(2);
    let mut recovery = Recovery::new(&key, device.clone(), remove_others, "relay.example");
    let mut offered = Vec::new();
    while !script.is_empty() {
        let Some(frame) = frame(&mut script, &shown, &offered) else {
            continue;
        };
        match recovery.handle_frame(frame, &mut counting(script.byte())) {
            Err(_) => return false,
            Ok(Step::Wait | Step::Send(DeviceFrame::RecoverAccount(_))) => {}
            Ok(Step::Send(DeviceFrame::AppendMembership(append))) => {
                shown.truncate(
                    usize::try_from(append.first).expect("no longer than what was shown"),
                );
                offered.clone_from(&append.entries);
                shown.extend(append.entries);
            }
            Ok(Step::Send(other)) => panic!("nothing else is asked of a relay: {other:?}"),
            Ok(Step::Done(done)) => {
                let log = Membership::replay(&done.entries).expect("a valid log");
                assert_eq!(log.account(), account);
                assert!(
                    log.member(&device.device)
                        .is_some_and(|own| own.agreement == device.agreement)
                );
                assert_eq!(done.secrets.len() as u64, u64::from(log.key_epoch()) + 1);
                return true;
            }
        }
    }
    false
}

/// Mostly what an honest relay could say, in any order.
fn frame(
    script: &mut Script<'_>,
    shown: &[SignedEntry],
    offered: &[SignedEntry],
) -> Option<RelayFrame> {
    Some(match script.byte() % 8 {
        0 => RelayFrame::Greeting(wire::Greeting {
            epoch: vec![1; 16].into(),
            nonce: vec![2; 32].into(),
            ..wire::Greeting::default()
        }),
        1 => RelayFrame::RecoveryAccepted(wire::RecoveryAccepted {
            membership_count: script.number(),
        }),
        2 | 3 => {
            let first = script.number();
            let from = usize::try_from(first)
                .unwrap_or(usize::MAX)
                .min(shown.len());
            let entries = shown[from..]
                .iter()
                .take(usize::from(script.byte()))
                .cloned()
                .collect();
            RelayFrame::Membership(wire::Membership { first, entries })
        }
        4 => {
            let first = (shown.len() - offered.len().min(shown.len())) as u64;
            RelayFrame::Membership(wire::Membership {
                first,
                entries: offered.to_vec(),
            })
        }
        5 => {
            let stale =
                Refusal::new(Code::StaleMembership, "another came first").expected(script.number());
            RelayFrame::Refusal(stale.into())
        }
        6 => {
            let mut entry = shown.get(usize::from(script.byte()))?.clone();
            let mut body = entry.body.to_vec();
            *body.get_mut(usize::from(script.byte()))? ^= script.byte();
            entry.body = body.into();
            RelayFrame::Membership(wire::Membership {
                first: script.number(),
                entries: vec![entry],
            })
        }
        _ => return from_relay(script.piece()).ok(),
    })
}
