//! The slots that hold keys and values. A slot's number is the handle of its entry everywhere else
//! (table, ordered index, expiry heap); it stays the same when the bytes move.

use crate::prefetch::prefetch;

/// Not in the expiry heap.
pub const NO_EXPIRY: u32 = u32::MAX;

/// A block grows to the size that the allocator would give it anyway.
const ALLOCATION_STEP: usize = 16;
const ALLOCATION_HEADER: usize = 8;

pub struct Entry {
    /// Key, value, then spare room for a larger value.
    bytes: Box<[u8]>,
    pub revision: u64,
    value_length: u32,
    /// Place in the expiry heap, or NO_EXPIRY.
    pub expiry_at: u32,
    key_length: u16,
    pub partition: u16,
}

impl Entry {
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.key_length)]
    }

    #[inline]
    pub fn value(&self) -> &[u8] {
        let start = usize::from(self.key_length);
        &self.bytes[start..start + self.value_length as usize]
    }

    /// Replaces the value, in place where it fits without wasting more than half of the room.
    #[inline]
    pub fn set_value(&mut self, value: &[u8]) {
        let start = usize::from(self.key_length);
        let end = start + value.len();
        if end <= self.bytes.len() && self.bytes.len() <= 2 * end + ALLOCATION_STEP {
            self.bytes[start..end].copy_from_slice(value);
        } else {
            self.bytes = block(self.key(), value);
        }
        self.value_length = value.len() as u32;
    }
}

#[derive(Default)]
pub struct Entries {
    slots: Vec<Entry>,
    free: Vec<u32>,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    pub fn get(&self, slot: u32) -> &Entry {
        &self.slots[slot as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.slots[slot as usize]
    }

    /// Takes a slot for a new entry.
    pub fn add(&mut self, key: &[u8], value: &[u8], partition: usize, revision: u64) -> u32 {
        let entry = Entry {
            bytes: block(key, value),
            revision,
            value_length: value.len() as u32,
            expiry_at: NO_EXPIRY,
            key_length: key.len() as u16,
            partition: partition as u16,
        };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = entry;
            return slot;
        }
        self.slots.push(entry);
        (self.slots.len() - 1) as u32
    }

    /// Frees a slot and its bytes.
    pub fn remove(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        entry.bytes = Box::default();
        entry.key_length = 0;
        entry.value_length = 0;
        self.free.push(slot);
    }

    /// Starts loading the entry.
    #[inline]
    pub fn prefetch(&self, slot: u32) {
        if let Some(entry) = self.slots.get(slot as usize) {
            prefetch(entry);
        }
    }

    /// Starts loading the entry's bytes; the entry itself should be near by now.
    #[inline]
    pub fn prefetch_bytes(&self, slot: u32) {
        if let Some(entry) = self.slots.get(slot as usize) {
            for line in entry.bytes.chunks(64).take(3) {
                prefetch(line);
            }
        }
    }
}

fn block(key: &[u8], value: &[u8]) -> Box<[u8]> {
    let length = key.len() + value.len();
    let rounded =
        (length + ALLOCATION_HEADER).next_multiple_of(ALLOCATION_STEP) - ALLOCATION_HEADER;
    let mut bytes = Vec::with_capacity(rounded);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes.resize(rounded, 0);
    bytes.into_boxed_slice()
}
