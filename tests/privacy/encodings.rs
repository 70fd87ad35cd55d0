//! Encodings in which bytes may hide in other bytes.

use std::io::Write;

use bytes::Bytes;
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL, Encoding, HEXLOWER, HEXUPPER};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// A form's name, and the canary in it.
pub type Form = (&'static str, Vec<u8>);

/// Every form that is looked for as it stands.
pub fn of(canary: &[u8]) -> Vec<Form> {
    let numbers = canary
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let mut forms = vec![
        ("raw", canary.to_vec()),
        ("hex", HEXLOWER.encode(canary).into_bytes()),
        ("HEX", HEXUPPER.encode(canary).into_bytes()),
        (
            "base32",
            BASE32_NOPAD
                .encode(canary)
                .to_ascii_lowercase()
                .into_bytes(),
        ),
        ("BASE32", BASE32_NOPAD.encode(canary).into_bytes()),
        ("numbers, as in Debug", numbers.into_bytes()),
        ("escaped, as in Debug", escaped(canary)),
        ("deflate", deflate(canary)),
    ];
    for (names, encoding) in [
        (
            ["base64", "base64, shifted by 1", "base64, shifted by 2"],
            BASE64,
        ),
        (
            [
                "base64url",
                "base64url, shifted by 1",
                "base64url, shifted by 2",
            ],
            BASE64URL,
        ),
    ] {
        let shifted = (0..3).map(|shift| encoded_inside(canary, shift, &encoding));
        forms.extend(names.into_iter().zip(shifted));
    }
    if let Ok(text) = std::str::from_utf8(canary) {
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        forms.push(("UTF-16, little end first", wide(u16::to_le_bytes)));
        forms.push(("UTF-16, big end first", wide(u16::to_be_bytes)));
    }
    forms
}

/// As compressed text that holds it among other text: found by unpacking.
pub fn packed(canary: &[u8]) -> [Form; 2] {
    let text = [
        b"somewhere in a longer text, somewhere in a longer text: ",
        canary,
        b", and on",
    ]
    .concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&text).expect("memory");
    zlib.write_all(&text).expect("memory");
    [
        ("gzip", gzip.finish().expect("memory")),
        ("zlib", zlib.finish().expect("memory")),
    ]
}

/// As `Bytes` prints itself, without the quotes.
fn escaped(canary: &[u8]) -> Vec<u8> {
    let shown = format!("{:?}", Bytes::copy_from_slice(canary)).into_bytes();
    shown[2..shown.len() - 1].to_vec()
}

/// Without the last byte, whose bits depend on what follows.
fn deflate(canary: &[u8]) -> Vec<u8> {
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(canary).expect("memory");
    let mut bytes = deflate.finish().expect("memory");
    bytes.pop();
    bytes
}

/// The characters that depend on the canary alone, when `shift` bytes stand before it in its group.
fn encoded_inside(canary: &[u8], shift: usize, encoding: &Encoding) -> Vec<u8> {
    let whole = (shift + canary.len()) / 3 * 3 - shift;
    let bytes = [&[0; 3][..shift], &canary[..whole]].concat();
    let first = [0, 2, 3][shift];
    encoding.encode(&bytes).into_bytes()[first..].to_vec()
}
