//! The keys in byte order, for prefix scans. A list of sorted blocks of handles: a binary search over
//! the blocks' first keys and one within the block find a place in O(log n) comparisons, and an
//! insertion moves at most one block's worth of handles. Four to eight bytes a key.
//!
//! While records are folded nobody scans, so the index may fall behind: handles that come and go are only
//! noted, and `settle` sorts and merges all of them at once, which for keys in random order is many times
//! as fast as a search for each.

use crate::entries::Entries;
use crate::key_order::sort_by_key;

/// Handles of a block at most; it splits in two above.
const BLOCK_KEYS_MAX: usize = 512;
/// A block and its successor are joined when together they hold no more.
const BLOCK_KEYS_JOIN: usize = 256;
/// Changes are merged in one pass over the index where they are no fewer than this part of it.
const MERGE_PART: usize = 32;
/// Entries brought into the cache ahead of the merge.
const AHEAD: usize = 8;
/// Blocks of memory kept for removed entries of an index that is behind, in bytes.
const REMOVED_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub struct OrderedIndex {
    /// None is empty.
    blocks: Vec<Vec<u32>>,
    /// Whether changes are only noted.
    deferring: bool,
    /// Handles noted to come, and to go. One may be in both; the entries of both must stay readable.
    added: Vec<u32>,
    removed: Vec<u32>,
    removed_bytes: usize,
}

impl OrderedIndex {
    /// Whether changes are only noted from here on.
    pub fn defer(&mut self, deferring: bool) {
        self.deferring = deferring;
    }

    /// Whether changes are noted that `settle` has to make before the index is read.
    #[inline]
    pub fn is_behind(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty()
    }

    /// Makes the changes that were noted, and frees the memory of removed entries.
    pub fn settle(&mut self, entries: &mut Entries) {
        let mut added = std::mem::take(&mut self.added);
        let mut removed = std::mem::take(&mut self.removed);
        self.removed_bytes = 0;
        let freed = removed.clone();
        cancel_out(&mut added, &mut removed);
        sort_by_key(entries, &mut added);
        sort_by_key(entries, &mut removed);
        let held = self.blocks.len() * BLOCK_KEYS_JOIN;
        if (added.len() + removed.len()) * MERGE_PART >= held {
            self.merge(entries, &added, &removed);
        } else {
            for handle in removed {
                self.take_out(entries, handle);
            }
            for handle in added {
                self.take_in(entries, handle);
            }
        }
        for handle in freed {
            entries.arena.free(handle);
        }
    }

    /// Makes the index anew. Both lists are in the order of keys.
    fn merge(&mut self, entries: &Entries, added: &[u32], removed: &[u32]) {
        let held: Vec<u32> = std::mem::take(&mut self.blocks).concat();
        let mut added = added.iter().copied().peekable();
        let mut removed = removed.iter().copied().peekable();
        for (at, &handle) in held.iter().enumerate() {
            if removed.next_if_eq(&handle).is_some() {
                continue;
            }
            if let Some(&ahead) = held.get(at + AHEAD) {
                entries.arena.prefetch(ahead);
            }
            if added.peek().is_some() {
                let key = entries.get(handle).key();
                while let Some(before) = added.next_if(|&other| entries.get(other).key() < key) {
                    self.push(before);
                }
            }
            self.push(handle);
        }
        for handle in added {
            self.push(handle);
        }
    }

    /// Adds a handle whose key is greater than every other.
    fn push(&mut self, handle: u32) {
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK_KEYS_MAX => last.push(handle),
            _ => self.blocks.push(new_block(handle)),
        }
    }

    /// The handle of the greatest key.
    pub fn greatest(&self) -> Option<u32> {
        self.blocks.last()?.last().copied()
    }

    /// Adds a handle whose key is not there yet.
    pub fn insert(&mut self, entries: &Entries, handle: u32) {
        if self.deferring {
            self.added.push(handle);
        } else {
            self.take_in(entries, handle);
        }
    }

    fn take_in(&mut self, entries: &Entries, handle: u32) {
        let key = entries.get(handle).key();
        // Keys often come in order: no search, and full blocks stay full.
        if self
            .greatest()
            .is_none_or(|greatest| entries.get(greatest).key() < key)
        {
            self.push(handle);
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

    /// Removes a handle that is there, and frees its entry's memory.
    pub fn remove(&mut self, entries: &mut Entries, handle: u32) {
        if self.deferring {
            self.removed_bytes += entries.arena.block(handle).len();
            self.removed.push(handle);
            if self.removed_bytes > REMOVED_BYTES_MAX {
                self.settle(entries);
            }
        } else {
            self.take_out(entries, handle);
            entries.arena.free(handle);
        }
    }

    fn take_out(&mut self, entries: &Entries, handle: u32) {
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

    /// Puts another entry of the same key where `handle` is, whose memory is freed.
    pub fn replace(&mut self, entries: &mut Entries, handle: u32, other: u32) {
        if self.deferring {
            self.insert(entries, other);
            self.remove(entries, handle);
            return;
        }
        let key = entries.get(handle).key();
        let block_at = self.block_of(entries, key);
        let block = &mut self.blocks[block_at];
        let at = lower_bound(entries, block, key);
        block[at] = other;
        entries.arena.free(handle);
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

/// Takes out of both lists what is in both.
fn cancel_out(added: &mut Vec<u32>, removed: &mut Vec<u32>) {
    if removed.is_empty() {
        return;
    }
    added.sort_unstable();
    removed.sort_unstable();
    let were_added: Vec<u32> = added.clone();
    added.retain(|handle| removed.binary_search(handle).is_err());
    removed.retain(|handle| were_added.binary_search(handle).is_err());
}

fn new_block(handle: u32) -> Vec<u32> {
    let mut block = Vec::with_capacity(BLOCK_KEYS_MAX + 1);
    block.push(handle);
    block
}

fn lower_bound(entries: &Entries, block: &[u32], key: &[u8]) -> usize {
    block.partition_point(|&handle| entries.get(handle).key() < key)
}
