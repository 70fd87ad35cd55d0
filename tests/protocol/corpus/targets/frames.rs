//! Frames of both directions and exchange bodies.

use bytes::Bytes;
use graceful_protocol::frame::{
    ELEMENTS_MAX, device_bytes, from_device, from_relay, join, relay_bytes, split,
};

/// What is read is written and read again as the same.
pub fn device_frame(data: &[u8]) {
    if let Ok(frame) = from_device(Bytes::copy_from_slice(data)) {
        assert_eq!(from_device(device_bytes(frame.clone())), Ok(frame));
    }
}

pub fn relay_frame(data: &[u8]) {
    if let Ok(frame) = from_relay(Bytes::copy_from_slice(data)) {
        assert_eq!(from_relay(relay_bytes(frame.clone())), Ok(frame));
    }
}

pub fn exchange_body(data: &[u8]) {
    if let Ok(frames) = split(Bytes::copy_from_slice(data)) {
        assert!(frames.len() <= ELEMENTS_MAX);
        assert_eq!(split(join(&frames)).as_deref(), Ok(&frames[..]));
        frames.iter().for_each(|frame| device_frame(frame));
    }
}
