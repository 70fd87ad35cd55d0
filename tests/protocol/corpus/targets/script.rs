//! Arbitrary bytes read as a sequence of small choices.

use bytes::Bytes;

/// What is left of them.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, 0 after the end.
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A number: mostly small, sometimes of any size.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => self
                .slice(8)
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
            small => u64::from(small),
        }
    }

    /// Up to `most` bytes.
    pub fn slice(&mut self, most: usize) -> &'a [u8] {
        let (slice, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        slice
    }

    /// A piece behind its length in two bytes.
    pub fn piece(&mut self) -> Bytes {
        let length = usize::from(self.byte()) << 8 | usize::from(self.byte());
        Bytes::copy_from_slice(self.slice(length))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
