//! A key with its value, as a block of the arena. The handle stands for the entry in the table, the
//! ordered index and the expiry heap; it changes only when a value of another size needs another block.
//!
//! ```text
//!  0  u64 revision            12  u32 place in the expiry heap, or NOT_IN_HEAP + place among the
//!  8  u32 value length            ephemerals, or NO_EXPIRY
//!                             16  u16 key length, u16 partition
//! 20  key, value, then spare room for a larger value
//! ```

use crate::arena::{Arena, block_bytes_for};
use crate::layout::{read_u16, read_u32, read_u64, write};

/// Neither in the expiry heap nor among the ephemerals.
pub const NO_EXPIRY: u32 = u32::MAX;
/// From here on it is no place in the expiry heap.
pub const NOT_IN_HEAP: u32 = 1 << 31;

const HEADER_BYTES: usize = 20;

/// An entry, borrowed from the arena.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    block: &'a [u8],
}

impl<'a> Entry<'a> {
    #[inline]
    pub fn revision(self) -> u64 {
        read_u64(self.block, 0)
    }

    #[inline]
    pub fn expiry_at(self) -> u32 {
        read_u32(self.block, 12)
    }

    #[inline]
    pub fn partition(self) -> usize {
        usize::from(read_u16(self.block, 18))
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        &self.block[HEADER_BYTES..self.value_at()]
    }

    #[inline]
    pub fn value(self) -> &'a [u8] {
        let start = self.value_at();
        &self.block[start..start + read_u32(self.block, 8) as usize]
    }

    #[inline]
    fn value_at(self) -> usize {
        HEADER_BYTES + usize::from(read_u16(self.block, 16))
    }
}

#[derive(Default)]
pub struct Entries {
    pub arena: Arena,
    /// Entries held.
    pub count: usize,
}

impl Entries {
    #[inline]
    pub fn get(&self, handle: u32) -> Entry<'_> {
        Entry {
            block: self.arena.block(handle),
        }
    }

    pub fn add(&mut self, key: &[u8], value: &[u8], partition: usize) -> u32 {
        let handle = self.arena.allocate(HEADER_BYTES + key.len() + value.len());
        let block = self.arena.block_mut(handle);
        write(block, 12, NO_EXPIRY.to_le_bytes());
        write(block, 16, (key.len() as u16).to_le_bytes());
        write(block, 18, (partition as u16).to_le_bytes());
        block[HEADER_BYTES..HEADER_BYTES + key.len()].copy_from_slice(key);
        self.overwrite(handle, value);
        self.count += 1;
        handle
    }

    pub fn remove(&mut self, handle: u32) {
        self.arena.free(handle);
        self.count -= 1;
    }

    /// Whether a value of this length fits the entry's block without wasting more than half of it, or,
    /// since a write that needs less must always pass, fits it at all where there is no other.
    #[inline]
    pub fn fits(&self, handle: u32, value_length: usize) -> bool {
        let entry = self.get(handle);
        let wanted = block_bytes_for(entry.value_at() + value_length);
        let present = entry.block.len();
        wanted <= present && (present <= 2 * wanted || !self.arena.has_room())
    }

    /// Replaces a value by one that fits.
    #[inline]
    pub fn overwrite(&mut self, handle: u32, value: &[u8]) {
        let start = self.get(handle).value_at();
        let block = self.arena.block_mut(handle);
        write(block, 8, (value.len() as u32).to_le_bytes());
        block[start..start + value.len()].copy_from_slice(value);
    }

    /// A copy of an entry in another block, with another value; the caller frees the first one's block.
    pub fn copy(&mut self, handle: u32, value: &[u8]) -> u32 {
        let entry = self.get(handle);
        let (partition, expiry_at) = (entry.partition(), entry.expiry_at());
        let key = entry.key().to_vec();
        let copied = self.add(&key, value, partition);
        self.count -= 1;
        self.set_expiry_at(copied, expiry_at);
        copied
    }

    #[inline]
    pub fn set_revision(&mut self, handle: u32, revision: u64) {
        write(self.arena.block_mut(handle), 0, revision.to_le_bytes());
    }

    #[inline]
    pub fn set_expiry_at(&mut self, handle: u32, place: u32) {
        write(self.arena.block_mut(handle), 12, place.to_le_bytes());
    }
}
