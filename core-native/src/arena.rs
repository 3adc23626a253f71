//! The memory of the keys: blocks cut from chunks, so that millions of keys are a few hundred
//! allocations and a block's number (its handle) is 32 bits. A chunk holds blocks of one size; one
//! that has become empty is given back whole, unless it is the last of its size with room, so that a
//! key that comes and goes does not make and drop a chunk each time.
//!
//! handle = chunk number * 2^17 + offset in the chunk / 16. Chunk 0 is never used: no handle is 0.

use crate::chunk::ChunkBytes;
use crate::layout::{read_u32, write};
use crate::prefetch::prefetch;

/// Blocks start on multiples of this.
const UNIT_BYTES: usize = 16;
const UNITS_PER_CHUNK_BITS: u32 = 17;
const UNIT_MASK: u32 = (1 << UNITS_PER_CHUNK_BITS) - 1;
/// The most that the 17 bits reach.
const CHUNK_BYTES_MAX: usize = (1 << UNITS_PER_CHUNK_BITS) * UNIT_BYTES;
/// A size's first chunk; each further one doubles, up to the most.
const CHUNK_BYTES_MIN: usize = 64 * 1024;
const CHUNK_BLOCKS_MIN: usize = 4;
const CHUNKS_MAX: usize = 1 << (32 - UNITS_PER_CHUNK_BITS);

// Sizes: every 16 bytes up to 1 KiB (classes 1 to 64), then eight to a doubling up to 256 KiB
// (classes 65 to 128), which wastes an eighth at most. A larger block is a chunk of its own (class 0).
const FINE_BYTES_MAX: usize = 1024;
const CLASSED_BYTES_MAX: usize = 256 * 1024;
const CLASS_COUNT: usize = 129;

/// `room_at` of a chunk that is full.
const FULL: u32 = u32::MAX;

struct Chunk {
    bytes: ChunkBytes,
    size_class: usize,
    block_bytes: usize,
    blocks: usize,
    /// Blocks in use.
    live: usize,
    /// Blocks that were handed out at least once; those after them are untouched.
    touched: usize,
    /// Offset in units plus one of the first block given back, whose first word has the next; 0: none.
    free_head: u32,
    /// Place among the chunks of its class that have room, or FULL.
    room_at: u32,
}

pub struct Arena {
    /// None before the first chunk and where one was given back.
    chunks: Vec<Option<Chunk>>,
    /// Numbers of chunks that were given back.
    vacant: Vec<u32>,
    /// By class: the numbers of its chunks with room, and how many chunks it has.
    with_room: Vec<Vec<u32>>,
    chunk_counts: [u32; CLASS_COUNT],
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            chunks: vec![None],
            vacant: Vec::new(),
            with_room: vec![Vec::new(); CLASS_COUNT],
            chunk_counts: [0; CLASS_COUNT],
        }
    }
}

impl Arena {
    /// Whether any block can still be allocated.
    pub fn has_room(&self) -> bool {
        !self.vacant.is_empty() || self.chunks.len() < CHUNKS_MAX
    }

    /// A block of at least `bytes`, its content undefined.
    pub fn allocate(&mut self, bytes: usize) -> u32 {
        let size_class = size_class_of(bytes);
        let number = match self.with_room[size_class].last() {
            Some(&number) => number,
            None => self.add_chunk(size_class, block_bytes_for(bytes)),
        };
        let chunk = self.chunk_mut(number);
        let unit = if chunk.free_head != 0 {
            let unit = chunk.free_head - 1;
            chunk.free_head = read_u32(&chunk.bytes, unit as usize * UNIT_BYTES);
            unit
        } else {
            let unit = (chunk.touched * chunk.block_bytes / UNIT_BYTES) as u32;
            chunk.touched += 1;
            unit
        };
        chunk.live += 1;
        if chunk.live == chunk.blocks {
            self.leave_room(number);
        }
        number << UNITS_PER_CHUNK_BITS | unit
    }

    /// Gives a block back.
    pub fn free(&mut self, handle: u32) {
        let number = handle >> UNITS_PER_CHUNK_BITS;
        let chunk = self.chunk_mut(number);
        let unit = handle & UNIT_MASK;
        let head = chunk.free_head;
        write(
            &mut chunk.bytes,
            unit as usize * UNIT_BYTES,
            head.to_le_bytes(),
        );
        chunk.free_head = unit + 1;
        chunk.live -= 1;
        let (size_class, is_empty) = (chunk.size_class, chunk.live == 0);
        if chunk.room_at == FULL {
            self.enter_room(number);
        }
        if is_empty && (size_class == 0 || self.with_room[size_class].len() > 1) {
            self.leave_room(number);
            self.chunks[number as usize] = None;
            self.vacant.push(number);
            self.chunk_counts[size_class] -= 1;
        }
    }

    /// The bytes of a block.
    #[inline]
    pub fn block(&self, handle: u32) -> &[u8] {
        let chunk = self.chunk(handle >> UNITS_PER_CHUNK_BITS);
        let at = (handle & UNIT_MASK) as usize * UNIT_BYTES;
        &chunk.bytes[at..at + chunk.block_bytes]
    }

    #[inline]
    pub fn block_mut(&mut self, handle: u32) -> &mut [u8] {
        let chunk = self.chunk_mut(handle >> UNITS_PER_CHUNK_BITS);
        let at = (handle & UNIT_MASK) as usize * UNIT_BYTES;
        &mut chunk.bytes[at..at + chunk.block_bytes]
    }

    /// Starts loading the first 192 bytes of a block. Blocks start anywhere in a cache line, so the
    /// last byte is named besides every 64th.
    #[inline]
    pub fn prefetch(&self, handle: u32) {
        let block = self.block(handle);
        for at in [0, 64, 191] {
            if let Some(byte) = block.get(at.min(block.len() - 1)) {
                prefetch(byte);
            }
        }
    }

    #[inline]
    fn chunk(&self, number: u32) -> &Chunk {
        match self.chunks.get(number as usize) {
            Some(Some(chunk)) => chunk,
            _ => stale(),
        }
    }

    #[inline]
    fn chunk_mut(&mut self, number: u32) -> &mut Chunk {
        match self.chunks.get_mut(number as usize) {
            Some(Some(chunk)) => chunk,
            _ => stale(),
        }
    }

    fn add_chunk(&mut self, size_class: usize, block_bytes: usize) -> u32 {
        let number = self.vacant.pop().unwrap_or(self.chunks.len() as u32);
        assert!(
            (number as usize) < CHUNKS_MAX,
            "the arena has no chunk left; lower --memory-max"
        );
        let count = self.chunk_counts[size_class];
        let wanted = (CHUNK_BYTES_MIN << count.min(5)).max(CHUNK_BLOCKS_MIN * block_bytes);
        let blocks = if size_class == 0 {
            1
        } else {
            wanted.min(CHUNK_BYTES_MAX) / block_bytes
        };
        let chunk = Chunk {
            bytes: ChunkBytes::new(blocks * block_bytes),
            size_class,
            block_bytes,
            blocks,
            live: 0,
            touched: 0,
            free_head: 0,
            room_at: FULL,
        };
        if number as usize == self.chunks.len() {
            self.chunks.push(Some(chunk));
        } else {
            self.chunks[number as usize] = Some(chunk);
        }
        self.chunk_counts[size_class] += 1;
        self.enter_room(number);
        number
    }

    fn enter_room(&mut self, number: u32) {
        let size_class = self.chunk(number).size_class;
        self.chunk_mut(number).room_at = self.with_room[size_class].len() as u32;
        self.with_room[size_class].push(number);
    }

    fn leave_room(&mut self, number: u32) {
        let chunk = self.chunk_mut(number);
        let (size_class, at) = (
            chunk.size_class,
            std::mem::replace(&mut chunk.room_at, FULL),
        );
        if at == FULL {
            return;
        }
        let room = &mut self.with_room[size_class];
        room.swap_remove(at as usize);
        if let Some(&moved) = room.get(at as usize) {
            self.chunk_mut(moved).room_at = at;
        }
    }
}

/// Bytes of the block that `bytes` are given.
#[inline]
pub fn block_bytes_for(bytes: usize) -> usize {
    bytes.next_multiple_of(step_of(bytes))
}

#[inline]
fn size_class_of(bytes: usize) -> usize {
    if bytes > CLASSED_BYTES_MAX {
        return 0;
    }
    let step = step_of(bytes);
    if bytes <= FINE_BYTES_MAX {
        return bytes.div_ceil(step);
    }
    let doublings = step.ilog2() as usize - 7;
    64 + doublings * 8 + (bytes.div_ceil(step) - 8)
}

/// Blocks near `bytes` differ by this.
#[inline]
fn step_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES_MAX || bytes > CLASSED_BYTES_MAX {
        return UNIT_BYTES;
    }
    1 << ((bytes - 1).ilog2() - 3)
}

/// A handle outlived its block: a broken invariant, which stops the engine.
#[cold]
#[allow(clippy::panic)]
fn stale() -> ! {
    panic!("a handle points to a chunk that was given back");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::Entries;
    use proptest::prelude::*;

    proptest! {
        /// Blocks of all sizes come and go; none ever overlaps another or loses its bytes.
        #[test]
        fn blocks_keep_their_bytes(
            steps in prop::collection::vec((any::<bool>(), 1_usize..5_000, any::<u8>()), 1..80),
        ) {
            let mut arena = Arena::default();
            let mut live: Vec<(u32, u8)> = Vec::new();
            for (add, bytes, fill) in steps {
                if add || live.is_empty() {
                    let handle = arena.allocate(bytes);
                    prop_assert!(handle != 0 && arena.block(handle).len() >= bytes);
                    arena.block_mut(handle).fill(fill);
                    live.push((handle, fill));
                } else {
                    let (handle, _) = live.swap_remove(bytes % live.len());
                    arena.free(handle);
                }
                for &(handle, fill) in &live {
                    prop_assert!(arena.block(handle).iter().all(|&byte| byte == fill));
                }
            }
        }

        #[test]
        fn a_class_has_one_size(bytes in 1_usize..=CLASSED_BYTES_MAX) {
            let rounded = block_bytes_for(bytes);
            prop_assert!(rounded >= bytes && size_class_of(bytes) < CLASS_COUNT);
            prop_assert!(rounded - bytes <= (bytes / 8).max(UNIT_BYTES - 1));
            prop_assert_eq!(size_class_of(bytes), size_class_of(rounded));
            if bytes < CLASSED_BYTES_MAX && size_class_of(bytes + 1) != size_class_of(bytes) {
                prop_assert_eq!(rounded, bytes);
            }
        }
    }

    #[test]
    fn an_empty_arena_holds_on_to_little() {
        let mut arena = Arena::default();
        let handles: Vec<u32> = (0..100_000).map(|_| arena.allocate(100)).collect();
        assert!(arena.chunks.len() > 5);
        for handle in handles {
            arena.free(handle);
        }
        assert_eq!(arena.chunks.iter().flatten().count(), 1);
        let large = arena.allocate(CLASSED_BYTES_MAX + 1);
        arena.free(large);
        assert_eq!(arena.chunks.iter().flatten().count(), 1);
    }

    /// With every chunk taken (8 GiB of large values do that), a small value in place of a large one
    /// asked for a chunk more, and the engine stopped.
    #[test]
    fn a_smaller_value_stays_in_its_block_where_no_chunk_is_left() {
        let mut entries = Entries::default();
        let handle = entries.add(b"key", &[1; 300_000], 0);
        assert!(!entries.fits(handle, 1) && !entries.fits(handle, 400_000));
        entries.arena.chunks.resize_with(CHUNKS_MAX, || None);
        assert!(entries.fits(handle, 1) && !entries.fits(handle, 400_000));
    }
}
