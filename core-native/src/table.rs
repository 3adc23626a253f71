//! A hash table of handles: open addressing with linear probing over 8-byte cells, each the upper half
//! a key's hash and the lower half its handle (0: empty). The keys themselves are in the entries, so a
//! lookup tells a cell by its hash first and asks the caller for the rest.

use crate::prefetch::prefetch;

const CELLS_MIN: usize = 8;

#[derive(Default)]
pub struct Table {
    /// A power of two of cells, or none before the first insertion. Never full: a probe always ends.
    cells: Vec<u64>,
    used: usize,
}

impl Table {
    /// The handle under `hash` for which `is_key` holds.
    #[inline]
    pub fn find(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, is_key).map(|at| handle_of(self.cells[at]))
    }

    /// Adds a handle whose key is not there yet.
    #[inline]
    pub fn insert(&mut self, hash: u32, handle: u32) {
        if (self.used + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.place(u64::from(hash) << 32 | u64::from(handle));
        self.used += 1;
    }

    /// Puts another handle where `handle` is.
    pub fn replace(&mut self, hash: u32, handle: u32, other: u32) {
        if let Some(at) = self.probe(hash, |candidate| candidate == handle) {
            self.cells[at] = u64::from(hash) << 32 | u64::from(other);
        }
    }

    /// Removes a handle that is there, and closes the gap so that no probe ends too early.
    pub fn remove(&mut self, hash: u32, handle: u32) {
        let Some(mut gap) = self.probe(hash, |candidate| candidate == handle) else {
            return;
        };
        let mask = self.cells.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            // A cell may move to the gap when its home is not between the gap (exclusive) and itself.
            let home = hash_of(cell) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.cells[gap] = cell;
                gap = at;
            }
        }
        self.cells[gap] = 0;
        self.used -= 1;
    }

    /// Starts loading the cell where a probe for `hash` begins.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        if let Some(cell) = self
            .cells
            .get(hash as usize & self.cells.len().wrapping_sub(1))
        {
            prefetch(cell);
        }
    }

    /// The first handle under `hash`: in all but one of 2^32 lookups, the one that `find` will name.
    #[inline]
    pub fn candidate(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    #[inline]
    fn probe(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.cells.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let cell = *self.cells.get(at)?;
            if cell == 0 {
                return None;
            }
            if hash_of(cell) == hash && is_key(handle_of(cell)) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn place(&mut self, cell: u64) {
        let mask = self.cells.len() - 1;
        let mut at = hash_of(cell) as usize & mask;
        while self.cells[at] != 0 {
            at = (at + 1) & mask;
        }
        self.cells[at] = cell;
    }

    #[cold]
    fn grow(&mut self) {
        let length = (self.cells.len() * 2).max(CELLS_MIN);
        for cell in std::mem::replace(&mut self.cells, vec![0; length]) {
            if cell != 0 {
                self.place(cell);
            }
        }
    }
}

#[inline]
fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
fn handle_of(cell: u64) -> u32 {
    cell as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Few homes, at the end of the table, so that runs of cells form, wrap around and close again.
    fn crowded(handle: u32) -> u32 {
        handle.wrapping_mul(0x9e37_79b1) | 0xffff_fff0
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 1_u32..40), 0..400)) {
            let mut table = Table::default();
            let mut model = HashSet::new();
            for (add, handle) in steps {
                if add && model.insert(handle) {
                    table.insert(crowded(handle), handle);
                } else if !add && model.remove(&handle) {
                    table.remove(crowded(handle), handle);
                }
                for handle in 1..40 {
                    let found = table.find(crowded(handle), |candidate| candidate == handle);
                    prop_assert_eq!(found, model.contains(&handle).then_some(handle));
                }
            }
        }
    }
}
