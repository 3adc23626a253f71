//! The keys in byte order, for prefix scans. A list of sorted blocks of handles: a binary search over
//! the blocks' first keys and one within the block find a place in O(log n) comparisons, and an
//! insertion moves at most one block's worth of handles. Four to eight bytes a key.

use crate::entries::Entries;

/// Handles of a block at most; it splits in two above.
const BLOCK_KEYS_MAX: usize = 512;
/// A block and its successor are joined when together they hold no more.
const BLOCK_KEYS_JOIN: usize = 256;

#[derive(Default)]
pub struct OrderedIndex {
    /// None is empty.
    blocks: Vec<Vec<u32>>,
}

impl OrderedIndex {
    /// The handle of the greatest key.
    pub fn greatest(&self) -> Option<u32> {
        self.blocks.last()?.last().copied()
    }

    /// Adds a handle whose key is not there yet.
    pub fn insert(&mut self, entries: &Entries, handle: u32) {
        let key = entries.get(handle).key();
        let Some(last) = self.blocks.last_mut() else {
            self.blocks.push(new_block(handle));
            return;
        };
        // Keys often come in order: no search, and full blocks stay full.
        if last
            .last()
            .is_some_and(|&greatest| entries.get(greatest).key() < key)
        {
            if last.len() < BLOCK_KEYS_MAX {
                last.push(handle);
            } else {
                self.blocks.push(new_block(handle));
            }
            return;
        }
        let block_at = self.block_of(entries, key);
        let block = &mut self.blocks[block_at];
        block.insert(lower_bound(entries, block, key), handle);
        if block.len() > BLOCK_KEYS_MAX {
            let mut upper = Vec::with_capacity(BLOCK_KEYS_MAX + 1);
            upper.extend(block.drain(block.len() / 2..));
            self.blocks.insert(block_at + 1, upper);
        }
    }

    /// Removes a handle that is there.
    pub fn remove(&mut self, entries: &Entries, handle: u32) {
        let key = entries.get(handle).key();
        let block_at = self.block_of(entries, key);
        let block = &mut self.blocks[block_at];
        block.remove(lower_bound(entries, block, key));
        let length = block.len();
        if length == 0 {
            self.blocks.remove(block_at);
        } else if self
            .blocks
            .get(block_at + 1)
            .is_some_and(|next| length + next.len() <= BLOCK_KEYS_JOIN)
        {
            let next = self.blocks.remove(block_at + 1);
            self.blocks[block_at].extend(next);
        }
    }

    /// Puts another entry of the same key where `handle` is. Both must still be readable.
    pub fn replace(&mut self, entries: &Entries, handle: u32, other: u32) {
        let key = entries.get(handle).key();
        let block_at = self.block_of(entries, key);
        let block = &mut self.blocks[block_at];
        let at = lower_bound(entries, block, key);
        block[at] = other;
    }

    /// The handles from the key `from` on, in order.
    pub fn from<'a>(&'a self, entries: &'a Entries, from: &[u8]) -> impl Iterator<Item = u32> + 'a {
        let block_at = self.block_of(entries, from);
        let (first, rest) = match self.blocks.get(block_at..) {
            Some([first, rest @ ..]) => (&first[lower_bound(entries, first, from)..], rest),
            _ => (&[][..], &[][..]),
        };
        first.iter().chain(rest.iter().flatten()).copied()
    }

    /// The last block whose first key is not greater than `key`, or the first block.
    fn block_of(&self, entries: &Entries, key: &[u8]) -> usize {
        self.blocks
            .partition_point(|block| entries.get(block[0]).key() <= key)
            .saturating_sub(1)
    }
}

fn new_block(handle: u32) -> Vec<u32> {
    let mut block = Vec::with_capacity(BLOCK_KEYS_MAX + 1);
    block.push(handle);
    block
}

fn lower_bound(entries: &Entries, block: &[u32], key: &[u8]) -> usize {
    block.partition_point(|&handle| entries.get(handle).key() < key)
}
