//! The bytes of one chunk. Large ones are aligned to huge pages and offered to the kernel as such: a
//! lookup in millions of keys then misses the address translation cache far less often.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Of a huge page on x86-64 and, with 4 KiB base pages, on arm64.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

pub struct ChunkBytes {
    pointer: NonNull<u8>,
    layout: Layout,
}

impl ChunkBytes {
    /// Zeroed bytes; at least one.
    pub fn new(length: usize) -> Self {
        // A chunk that nearly fills its huge pages gets them whole.
        let rounded = length.next_multiple_of(HUGE_PAGE_BYTES);
        let huge = length > rounded / 4 * 3;
        let (size, align) = if huge {
            (rounded, HUGE_PAGE_BYTES)
        } else {
            (length.max(1), 16)
        };
        let Ok(layout) = Layout::from_size_align(size, align) else {
            unreachable!("chunks are far below isize::MAX and the alignments are powers of two");
        };
        let pointer = allocate(layout, huge);
        let Some(pointer) = NonNull::new(pointer) else {
            handle_alloc_error(layout);
        };
        Self { pointer, layout }
    }
}

fn allocate(layout: Layout, huge: bool) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if huge {
        // SAFETY: the layout has a size above zero. `madvise` gets a range that was just allocated and
        // is aligned to pages; it changes no content, and where it fails plain pages do. The bytes are
        // written before anything reads them.
        unsafe {
            let pointer = std::alloc::alloc(layout);
            if !pointer.is_null() {
                libc::madvise(pointer.cast(), layout.size(), libc::MADV_HUGEPAGE);
                pointer.write_bytes(0, layout.size());
            }
            return pointer;
        }
    }
    let _ = huge;
    // SAFETY: the layout has a size above zero.
    unsafe { alloc_zeroed(layout) }
}

impl Deref for ChunkBytes {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the pointer is to `layout.size()` initialised bytes that this value alone owns.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for ChunkBytes {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.layout.size()) }
    }
}

impl Drop for ChunkBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounded to whole huge pages, a value of 2.1 MiB took 4 MiB.
    #[test]
    fn huge_pages_waste_a_quarter_at_most() {
        for eighths in 1..64 {
            let length = HUGE_PAGE_BYTES / 8 * eighths + 1;
            let bytes = ChunkBytes::new(length);
            assert!(bytes.len() >= length && bytes.len() / 4 * 3 <= length);
        }
    }
}
