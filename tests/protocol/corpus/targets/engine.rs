//! A client's engine against arbitrary relay frames.

use bytes::Bytes;
use graceful_client::{Change, Engine, EngineState, Identity, Incoming, Output};
use graceful_engine::FnRng;
use graceful_protocol::frame::{RelayFrame, from_relay};
use graceful_protocol::wire::{self, Delivered};
use graceful_protocol::{Code, Limits, Refusal};

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

pub fn engine(data: &[u8]) {
    let identity = Identity::create("desk-1", "Desk", &mut counting(0));
    let state = EngineState::new(&identity).expect("a created account is valid");
    let mut engine = Engine::new(state.clone(), "", Box::new(counting(9)));
    let mut disk = state;
    let mut script = Script::new(data);
    let mut now_ms = 0;
    let mut incoming: Vec<Incoming> = Vec::new();
    engine.handle_timeout(now_ms);
    engine.handle_connected("relay.example", now_ms);
    while !script.is_empty() {
        match script.byte() % 16 {
            0 => {
                now_ms += script.number().min(1 << 40);
                engine.handle_timeout(now_ms);
            }
            1 => engine.handle_disconnected(now_ms),
            2 => {
                engine.handle_connected("relay.example", now_ms);
                engine.handle_frame(greeting(&mut script), now_ms);
                engine.handle_frame(welcome(&mut script), now_ms);
            }
            3 => {
                let content = script.piece();
                let _ = engine.enqueue([Change::new("tx", content)], now_ms);
            }
            4 => {
                if let Some(next) = incoming.pop() {
                    engine.applied(next.position(), now_ms);
                }
            }
            _ => {
                if let Some(frame) = frame(&mut script) {
                    engine.handle_frame(frame, now_ms);
                }
            }
        }
        while let Some(output) = engine.poll_output() {
            match output {
                // After a crash the records are all there is: they must make sense again.
                Output::Persist(record) => disk
                    .apply(record)
                    .expect("what was recorded can be read back"),
                Output::Deliver(next) => incoming.push(next),
                _ => {}
            }
        }
    }
}

fn greeting(script: &mut Script<'_>) -> RelayFrame {
    let mut limits = wire::Limits::from(&Limits::default());
    if script.byte() % 4 == 3 {
        limits.window_bytes = script.number();
        limits.frame_bytes_max = script.number();
        limits.envelope_bytes_max = script.number();
        limits.push_envelopes_max = script.number() as u32;
        limits.in_flight_frames_max = script.number() as u32;
        limits.ping_interval_s = script.number() as u32;
    }
    RelayFrame::Greeting(wire::Greeting {
        relay_id: Bytes::from_static(&[1; 16]),
        version_min: 1,
        version_max: 1,
        epoch: Bytes::from(vec![script.byte() % 3; 16]),
        nonce: Bytes::from_static(&[2; 32]),
        limits: Some(limits),
        ..wire::Greeting::default()
    })
}

fn welcome(script: &mut Script<'_>) -> RelayFrame {
    RelayFrame::Welcome(wire::Welcome {
        device_index: 0,
        head: script.number(),
        cursor: script.number(),
        push_number: script.number(),
        stored_bytes: 0,
        stored_envelopes: 0,
        membership_count: script.number(),
        chain: script.piece(),
    })
}

/// A frame with small numbers, or whatever the bytes say.
fn frame(script: &mut Script<'_>) -> Option<RelayFrame> {
    Some(match script.byte() % 12 {
        0 => greeting(script),
        1 => welcome(script),
        2 | 3 => {
            let placement = wire::Placement {
                push_number: script.number(),
                seq: script.number(),
                count: script.number() as u32,
            };
            let placements = vec![placement; usize::from(script.byte() % 3)];
            RelayFrame::Stored(wire::Stored {
                push_number: script.number(),
                placements,
            })
        }
        4 | 5 => {
            let delivered = Delivered {
                seq: script.number(),
                sender: Bytes::from(vec![script.byte(); 32]),
                push_number: script.number(),
                sealed: script.piece(),
                chain: Bytes::from(vec![script.byte(); 32]),
                targeted: script.byte() % 2 == 1,
            };
            let envelopes = vec![delivered; usize::from(script.byte() % 3)];
            RelayFrame::Deliver(wire::Deliver {
                envelopes,
                through: script.number(),
                head: script.number(),
            })
        }
        6 => {
            let (from, through) = (script.number(), script.number());
            RelayFrame::Gap(wire::Gap {
                from,
                through,
                reason: i32::from(script.byte() % 4),
            })
        }
        7 => RelayFrame::Refusal(
            Refusal::new(
                Code::try_from(i32::from(script.byte() % 28)).unwrap_or(Code::Timeout),
                "no",
            )
            .expected(script.number())
            .push_number(script.number())
            .retry_after_ms(script.number())
            .into(),
        ),
        8 => {
            let entry = wire::SignedEntry {
                body: script.piece(),
                signature: Bytes::new(),
            };
            RelayFrame::Membership(wire::Membership {
                first: script.number(),
                entries: vec![entry],
            })
        }
        9 => RelayFrame::Deleted(wire::Deleted {
            through: script.number(),
            envelopes: script.number(),
            account: script.byte().is_multiple_of(4),
        }),
        _ => return from_relay(script.piece()).ok(),
    })
}
