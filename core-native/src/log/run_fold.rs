//! The fold of some records in memory: of each key what was said last, be it a put, a delete, or a touch
//! of a value that is older than these records. The twin of `node/log/local/sorted-run.ts`.

use std::collections::HashMap;

use super::batch_file::BatchWriter;
use super::fault::Fault;
use crate::layout::{read_u16, read_u32};
use crate::records::{RECORD_HEADER_BYTES, Record, RecordKind, record_bytes};

/// Where a record has its revision, time and expiry, in a row.
pub const VERSION: std::ops::Range<usize> = 16..RECORD_HEADER_BYTES;
const KIND_AT: usize = 6;

pub struct RunFold {
    /// Where the records of the keys begin in `arena`.
    places: HashMap<Box<[u8]>, usize>,
    arena: Vec<u8>,
    bytes_max: usize,
    keys_max: usize,
}

impl RunFold {
    pub fn new(bytes_max: usize, keys_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            arena: Vec::with_capacity(bytes_max),
            bytes_max,
            keys_max,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes a record, valid and whole in `bytes`; false where the run is full and has to be written
    /// first.
    pub fn add(&mut self, record: &Record<'_>, bytes: &[u8]) -> bool {
        if let Some(&place) = self.places.get(record.key) {
            let length = length_at(&self.arena, place);
            let held = &mut self.arena[place..place + length];
            if record.kind == RecordKind::Touch {
                // Only a key that is there can be touched.
                if !is_removal(held[KIND_AT]) {
                    held[VERSION].copy_from_slice(&bytes[VERSION]);
                }
                return true;
            }
            if bytes.len() <= length {
                held[..bytes.len()].copy_from_slice(bytes);
                return true;
            }
        } else if self.places.len() >= self.keys_max {
            return false;
        }
        if !self.has_room(bytes.len()) {
            return false;
        }
        let place = self.arena.len();
        self.arena.extend_from_slice(bytes);
        match self.places.get_mut(record.key) {
            Some(held) => *held = place,
            None => {
                self.places.insert(record.key.into(), place);
            }
        }
        true
    }

    /// Appends all to a run, in order of the keys, and begins anew.
    pub fn write_to(&mut self, writer: &mut BatchWriter) -> Result<(), Fault> {
        let mut sorted: Vec<(Box<[u8]>, usize)> = self.places.drain().collect();
        sorted.sort_unstable();
        for (_, place) in sorted {
            writer.append(&self.arena[place..place + length_at(&self.arena, place)], 0)?;
        }
        self.arena.clear();
        Ok(())
    }

    fn has_room(&mut self, length: usize) -> bool {
        if self.arena.len() + length <= self.bytes_max {
            return true;
        }
        if self.is_empty() {
            // A record of its own that is larger than a run.
            return true;
        }
        let live: usize = self
            .places
            .values()
            .map(|&place| length_at(&self.arena, place))
            .sum();
        if live > self.bytes_max / 2 || live + length > self.bytes_max {
            return false;
        }
        // Keys that are written again and again: make room of what they were.
        let mut arena = Vec::with_capacity(self.bytes_max);
        for place in self.places.values_mut() {
            let end = *place + length_at(&self.arena, *place);
            let at = arena.len();
            arena.extend_from_slice(&self.arena[*place..end]);
            *place = at;
        }
        self.arena = arena;
        true
    }
}

/// Whether a record's kind says that its key is gone.
fn is_removal(kind: u8) -> bool {
    kind == RecordKind::Delete as u8 || kind == RecordKind::Expire as u8
}

/// Bytes of the record that begins at `at`; it was put there whole.
fn length_at(arena: &[u8], at: usize) -> usize {
    let header = &arena[at..at + RECORD_HEADER_BYTES];
    record_bytes(
        usize::from(read_u16(header, 4)),
        read_u32(header, 0) as usize,
    )
}
