//! Random bytes and random damage, the same on each run.

/// A generator of random numbers (xorshift64), good enough to damage things with.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Returns a generator that gives the same numbers for the same `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number from 0 up to, but not including, `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    /// Returns any byte.
    pub fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    /// Returns up to `most` bytes.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.byte()).collect()
    }

    /// Returns the bytes with one to four changes: a byte replaced, a piece removed, doubled or moved to the end, or the end cut off.
    pub fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let start = self.below(bytes.len());
            let end = (start + 1 + self.below(8)).min(bytes.len());
            let piece = bytes[start..end].to_vec();
            match self.below(5) {
                0 => bytes[start] = self.byte(),
                1 => drop(bytes.drain(start..end)),
                2 => drop(bytes.splice(start..start, piece)),
                3 => bytes.extend(piece),
                _ => bytes.truncate(start),
            }
        }
        bytes
    }
}
