//! Encoding and decoding of frames.
//!
//! Bytes from the network are hostile: a few of them can ask for thousands of empty messages, so
//! elements are counted before anything is allocated.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;

use super::wire::{FromDevice, FromRelay, from_device, from_relay};

/// A frame from a device.
pub type DeviceFrame = from_device::Frame;
/// A frame from a relay.
pub type RelayFrame = from_relay::Frame;

/// Limit of elements of any kind in one frame.
pub const ELEMENTS_MAX: usize = 20_000;

/// The only nested message with repeated elements: `authenticate` in `CreateAccount`.
const CREATE_ACCOUNT_AUTHENTICATE: (u64, u64) = (2, 1);

/// A decoding error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not an encoded message of the schema.
    #[error("not a frame of this protocol: {0}")]
    Encoding(String),
    /// A frame type that this version does not know.
    #[error("unknown frame type; the peer speaks a newer version")]
    UnknownKind,
    /// More elements than [`ELEMENTS_MAX`].
    #[error("frame has more than {ELEMENTS_MAX} elements")]
    TooManyElements,
    /// A length prefix beyond the end.
    #[error("frame is truncated")]
    CutShort,
}

/// Decodes a frame from a device. Payloads share the memory of `bytes`.
///
/// # Errors
/// [`Malformed`]
#[inline]
pub fn from_device(bytes: Bytes) -> Result<DeviceFrame, Malformed> {
    count_elements(&bytes, Some(CREATE_ACCOUNT_AUTHENTICATE))?;
    let message =
        FromDevice::decode(bytes).map_err(|error| Malformed::Encoding(error.to_string()))?;
    message.frame.ok_or(Malformed::UnknownKind)
}

/// Decodes a frame from a relay. Payloads share the memory of `bytes`.
///
/// # Errors
/// [`Malformed`]
#[inline]
pub fn from_relay(bytes: Bytes) -> Result<RelayFrame, Malformed> {
    count_elements(&bytes, None)?;
    let message =
        FromRelay::decode(bytes).map_err(|error| Malformed::Encoding(error.to_string()))?;
    message.frame.ok_or(Malformed::UnknownKind)
}

/// Encodes a frame from a device.
#[inline]
pub fn device_bytes(frame: DeviceFrame) -> Bytes {
    FromDevice { frame: Some(frame) }.encode_to_vec().into()
}

/// Encodes a frame from a relay.
#[inline]
pub fn relay_bytes(frame: RelayFrame) -> Bytes {
    FromRelay { frame: Some(frame) }.encode_to_vec().into()
}

/// Joins frames into the body of an exchange, each with a varint length prefix.
pub fn join<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut body = BytesMut::new();
    for frame in frames {
        prost::encoding::encode_varint(frame.len() as u64, &mut body);
        body.extend_from_slice(frame);
    }
    body.freeze()
}

/// Splits a body made by [`join`].
///
/// # Errors
/// [`Malformed::CutShort`] for a wrong length, [`Malformed::TooManyElements`] for too many frames.
pub fn split(mut body: Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut frames = Vec::new();
    while body.has_remaining() {
        let length = prost::encoding::decode_varint(&mut body).map_err(|_| Malformed::CutShort)?;
        let length = usize::try_from(length).map_err(|_| Malformed::CutShort)?;
        if length > body.len() {
            return Err(Malformed::CutShort);
        }
        if frames.len() == ELEMENTS_MAX {
            return Err(Malformed::TooManyElements);
        }
        frames.push(body.split_to(length));
    }
    Ok(frames)
}

/// Counts the fields of a frame and its message; each repeated element is a field. Allocates
/// nothing. Malformed bytes are left to the decoder, which reports them.
fn count_elements(bytes: &[u8], with_inner: Option<(u64, u64)>) -> Result<(), Malformed> {
    let mut elements = 0;
    walk(bytes, &mut elements, &mut |frame, elements| {
        walk(frame.content, elements, &mut |field, elements| {
            if with_inner == Some((frame.tag, field.tag)) {
                walk(field.content, elements, &mut |_, _| Ok(()))?;
            }
            Ok(())
        })
    })
}

fn walk<'a>(
    mut bytes: &'a [u8],
    elements: &mut usize,
    descend: &mut dyn FnMut(&Field<'a>, &mut usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while let Some(field) = next_field(&mut bytes) {
        *elements += 1;
        if *elements > ELEMENTS_MAX {
            return Err(Malformed::TooManyElements);
        }
        descend(&field, elements)?;
    }
    Ok(())
}

struct Field<'a> {
    tag: u64,
    content: &'a [u8],
}

/// Returns the next field and its bytes, if length-delimited; `None` at the end and at the first
/// malformed field.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    let key = prost::encoding::decode_varint(bytes).ok()?;
    let tag = key >> 3;
    let length = match key & 7 {
        0 => {
            prost::encoding::decode_varint(bytes).ok()?;
            return Some(Field { tag, content: &[] });
        }
        1 => 8,
        5 => 4,
        2 => usize::try_from(prost::encoding::decode_varint(bytes).ok()?).ok()?,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Field {
        tag,
        content: if key & 7 == 2 { content } else { &[] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn push(envelopes: usize) -> Bytes {
        let envelopes = vec![wire::Envelope::default(); envelopes];
        device_bytes(DeviceFrame::Push(wire::Push { envelopes }))
    }

    #[test]
    fn frame_decodes_to_encoded_value() {
        let ack = DeviceFrame::Ack(wire::Ack { through: 7 });
        assert_eq!(from_device(device_bytes(ack.clone())), Ok(ack));
        let pong = RelayFrame::Pong(wire::Pong { number: 3 });
        assert_eq!(from_relay(relay_bytes(pong.clone())), Ok(pong));
    }

    #[test]
    fn small_frame_with_many_elements_is_rejected() {
        assert!(from_device(push(1_000)).is_ok());
        assert_eq!(from_device(push(30_000)), Err(Malformed::TooManyElements));
    }

    #[test]
    fn undecodable_frame_returns_its_error() {
        assert_eq!(from_device(Bytes::new()), Err(Malformed::UnknownKind));
        assert!(matches!(
            from_device(Bytes::from_static(&[0xff; 9])),
            Err(Malformed::Encoding(_))
        ));
    }

    #[test]
    fn exchange_body_splits_into_joined_frames() {
        let frames = [push(1), push(0), push(3)];
        assert_eq!(split(join(&frames)).as_deref(), Ok(&frames[..]));
        assert_eq!(
            split(Bytes::from_static(&[5, 1, 2])),
            Err(Malformed::CutShort)
        );
    }
}
