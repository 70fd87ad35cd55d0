//! Where random bytes come from: the system, or a seed when a simulation or a test vector fixes them.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// A source of bytes that nobody else can predict.
pub trait CryptoRng {
    /// Fills all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRng;

impl CryptoRng for OsRng {
    /// # Panics
    /// If the system has no random generator: nothing could be sealed without one.
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system's random generator answers");
    }
}

/// Random bytes of a fixed length.
pub fn random<const LENGTH: usize>(rng: &mut dyn CryptoRng) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    rng.fill(&mut bytes);
    bytes
}

/// CryptoRng in the shape that the HPKE crate asks for.
pub(crate) struct HpkeRng<'a>(pub(crate) &'a mut dyn CryptoRng);

impl TryRng for HpkeRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(random(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(random(self.0)))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for HpkeRng<'_> {}

/// Bytes that follow from a seed, for tests and simulations.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct SeededRng(pub u64);

#[cfg(any(test, feature = "testing"))]
impl CryptoRng for SeededRng {
    fn fill(&mut self, bytes: &mut [u8]) {
        use sha2::{Digest, Sha256};
        for chunk in bytes.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            let block = Sha256::digest(self.0.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
