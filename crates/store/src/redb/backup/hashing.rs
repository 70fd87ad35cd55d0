//! A writer that knows the checksum of all that went through it.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Hashes all that goes through, with SHA-256.
#[derive(Debug)]
pub struct HashingWriter<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> HashingWriter<W> {
    /// Nothing went through yet.
    pub fn new(out: W) -> Self {
        Self {
            out,
            hash: Sha256::new(),
        }
    }

    /// Of all that went through until now.
    pub fn sum(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The same, as text.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.sum())
    }

    /// What is behind it.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
