//! Memory that begins at a multiple of a block, as direct writes ask for. Grows and keeps what it holds.

pub struct Aligned {
    memory: Vec<u8>,
    /// A power of two.
    alignment: usize,
}

impl Aligned {
    pub fn new(alignment: usize) -> Self {
        let mut aligned = Self {
            memory: Vec::new(),
            alignment,
        };
        aligned.grow(alignment);
        aligned
    }

    /// The first `length` bytes, with what they held before.
    pub fn bytes_mut(&mut self, length: usize) -> &mut [u8] {
        if self.start() + length > self.memory.len() {
            self.grow(length);
        }
        let start = self.start();
        &mut self.memory[start..start + length]
    }

    fn start(&self) -> usize {
        self.memory.as_ptr().align_offset(self.alignment)
    }

    fn grow(&mut self, length: usize) {
        let mut grown = vec![0; length.next_power_of_two() + self.alignment];
        let start = grown.as_ptr().align_offset(self.alignment);
        if !self.memory.is_empty() {
            let held = &self.memory[self.start()..];
            let kept = held.len().min(grown.len() - start);
            grown[start..start + kept].copy_from_slice(&held[..kept]);
        }
        self.memory = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_in_place_of_its_alignment() {
        let mut aligned = Aligned::new(4096);
        aligned.bytes_mut(10).copy_from_slice(b"0123456789");
        for length in [10, 4096, 5000, 1 << 20, 10] {
            let bytes = aligned.bytes_mut(length);
            assert_eq!(bytes.as_ptr() as usize % 4096, 0);
            assert_eq!(&bytes[..10], b"0123456789");
        }
    }
}
