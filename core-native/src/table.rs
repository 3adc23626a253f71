//! The hash table of one partition: open addressing with linear probing over 8-byte cells, each the
//! upper half a key's hash and the lower half its slot plus one (0: empty). The keys themselves are in
//! the slots, so a lookup tells a cell by its hash first and asks the caller for the rest. One table a
//! partition keeps a rehash short: it moves one partition's cells, not all.

use crate::prefetch::prefetch;

const CELLS_MIN: usize = 8;

#[derive(Default)]
pub struct Table {
    /// A power of two of cells, or none before the first insertion. Never full: a probe always ends.
    cells: Vec<u64>,
    used: usize,
}

impl Table {
    /// The slot under `hash` for which `is_key` holds.
    #[inline]
    pub fn find(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, is_key).map(|at| slot_of(self.cells[at]))
    }

    /// Adds a slot whose key is not there yet.
    #[inline]
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if (self.used + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.place(u64::from(hash) << 32 | u64::from(slot + 1));
        self.used += 1;
    }

    /// Removes a slot that is there, and closes the gap so that no probe ends too early.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut gap) = self.probe(hash, |candidate| candidate == slot) else {
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

    /// The first slot under `hash`: in all but one of 2^32 lookups, the one that `find` will name.
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
            if hash_of(cell) == hash && is_key(slot_of(cell)) {
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
fn slot_of(cell: u64) -> u32 {
    cell as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Few homes, at the end of the table, so that runs of cells form, wrap around and close again.
    fn crowded(slot: u32) -> u32 {
        slot.wrapping_mul(0x9e37_79b1) | 0xffff_fff0
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 0_u32..40), 0..400)) {
            let mut table = Table::default();
            let mut model = HashSet::new();
            for (add, slot) in steps {
                if add && model.insert(slot) {
                    table.insert(crowded(slot), slot);
                } else if !add && model.remove(&slot) {
                    table.remove(crowded(slot), slot);
                }
                for slot in 0..40 {
                    let found = table.find(crowded(slot), |candidate| candidate == slot);
                    prop_assert_eq!(found, model.contains(&slot).then_some(slot));
                }
            }
        }
    }
}
