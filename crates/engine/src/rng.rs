//! Randomness: the operating system's generator, or a function for other platforms and tests.

use std::convert::Infallible;

pub use rand_core::CryptoRng;
use rand_core::{TryCryptoRng, TryRng};

/// The operating system's random number generator.
///
/// # Panics
/// If the system has none: nothing can be sealed without one.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRng;

/// A generator that fills bytes with a function: fixed bytes of a test vector, or a platform's own
/// generator. It is as unpredictable as the function.
#[derive(Clone)]
pub struct FnRng<F>(pub F);

impl<F> std::fmt::Debug for FnRng<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FnRng(…)")
    }
}

macro_rules! infallible_rng {
    ([$($generics:tt)*] $rng:ty, |$self:ident, $bytes:ident| $fill:expr) => {
        impl<$($generics)*> TryRng for $rng {
            type Error = Infallible;

            fn try_next_u32(&mut self) -> Result<u32, Infallible> {
                Ok(u32::from_be_bytes(random(self)))
            }

            fn try_next_u64(&mut self) -> Result<u64, Infallible> {
                Ok(u64::from_be_bytes(random(self)))
            }

            fn try_fill_bytes(&mut self, $bytes: &mut [u8]) -> Result<(), Infallible> {
                let $self = self;
                $fill;
                Ok(())
            }
        }

        impl<$($generics)*> TryCryptoRng for $rng {}
    };
}

infallible_rng!([] OsRng, |_rng, bytes| getrandom::fill(bytes)
    .expect("the system has a random number generator"));
infallible_rng!([F: FnMut(&mut [u8])] FnRng<F>, |rng, bytes| (rng.0)(bytes));

/// Returns random bytes of a fixed length.
pub fn random<const LENGTH: usize>(rng: &mut dyn CryptoRng) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Deterministic bytes from a seed, for tests and simulations.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct SeededRng(pub u64);

#[cfg(any(test, feature = "testing"))]
infallible_rng!([] SeededRng, |rng, bytes| {
    use sha2::{Digest, Sha256};
    for chunk in bytes.chunks_mut(32) {
        rng.0 = rng.0.wrapping_add(1);
        let block = Sha256::digest(rng.0.to_be_bytes());
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
});
