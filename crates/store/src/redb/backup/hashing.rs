//! A writer that computes the SHA-256 of what it writes.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A writer that computes the SHA-256 of what it writes.
#[derive(Debug)]
pub struct HashingWriter<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps a writer.
    pub fn new(out: W) -> Self {
        Self {
            out,
            hash: Sha256::new(),
        }
    }

    /// Returns the hash of everything written so far.
    pub fn sum(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// Returns the hash in hexadecimal.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.sum())
    }

    /// Returns the wrapped writer.
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
