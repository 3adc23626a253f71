//! The fold of some records in memory: of each thing, known by its space and key, what was said last, be
//! it what it is, its removal, or a touch of a value that is older than these records. The twin of `node/log/local/sorted-run.ts`.

use std::collections::HashMap;

use super::batch_file::BatchWriter;
use super::fault::Fault;
use crate::layout::{read_u16, read_u32};
use crate::records::{
    RECORD_FLAG_EPHEMERAL, RECORD_HEADER_BYTES, Record, RecordKind, SPACES, record_bytes,
};

/// Where a record has its revision, time and expiry, in a row.
pub const VERSION: std::ops::Range<usize> = 16..RECORD_HEADER_BYTES;
const KIND_AT: usize = 6;
const FLAGS_AT: usize = 7;

pub struct RunFold {
    /// Of each space, where the records of its keys begin in `arena`.
    places: [HashMap<Box<[u8]>, usize>; SPACES],
    arena: Vec<u8>,
    bytes_max: usize,
    keys_max: usize,
}

impl RunFold {
    pub fn new(bytes_max: usize, keys_max: usize) -> Self {
        Self {
            places: std::array::from_fn(|_| HashMap::new()),
            arena: Vec::with_capacity(bytes_max),
            bytes_max,
            keys_max,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Takes a record, valid and whole in `bytes`; false where the run is full and has to be written
    /// first.
    pub fn add(&mut self, record: &Record<'_>, bytes: &[u8]) -> bool {
        let space = record.kind.space() as usize;
        if let Some(&place) = self.places[space].get(record.key) {
            let length = length_at(&self.arena, place);
            let held = &mut self.arena[place..place + length];
            if record.kind == RecordKind::Touch {
                // Only a key that is there can be touched.
                if !is_removal(held[KIND_AT]) {
                    touch(held, &bytes[VERSION]);
                }
                return true;
            }
            if bytes.len() <= length {
                held[..bytes.len()].copy_from_slice(bytes);
                return true;
            }
        } else if self.count() >= self.keys_max {
            return false;
        }
        if !self.has_room(bytes.len()) {
            return false;
        }
        let place = self.arena.len();
        self.arena.extend_from_slice(bytes);
        match self.places[space].get_mut(record.key) {
            Some(held) => *held = place,
            None => {
                self.places[space].insert(record.key.into(), place);
            }
        }
        true
    }

    /// Appends all to a run, space by space in order of the keys, and begins anew.
    pub fn write_to(&mut self, writer: &mut BatchWriter) -> Result<(), Fault> {
        for places in &mut self.places {
            let mut sorted: Vec<(Box<[u8]>, usize)> = places.drain().collect();
            sorted.sort_unstable();
            for (_, place) in sorted {
                writer.append(&self.arena[place..place + length_at(&self.arena, place)], 0)?;
            }
        }
        self.arena.clear();
        Ok(())
    }

    fn count(&self) -> usize {
        self.places.iter().map(HashMap::len).sum()
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
            .iter()
            .flat_map(HashMap::values)
            .map(|&place| length_at(&self.arena, place))
            .sum();
        if live > self.bytes_max / 2 || live + length > self.bytes_max {
            return false;
        }
        // Keys that are written again and again: make room of what they were.
        let mut arena = Vec::with_capacity(self.bytes_max);
        for place in self.places.iter_mut().flat_map(HashMap::values_mut) {
            let end = *place + length_at(&self.arena, *place);
            let at = arena.len();
            arena.extend_from_slice(&self.arena[*place..end]);
            *place = at;
        }
        self.arena = arena;
        true
    }
}

/// Gives a record the version of a touch that is newer. What stood in place of the expiry of an ephemeral
/// key goes with that, and so must the flag; `back` stays that of the record.
pub fn touch(record: &mut [u8], version: &[u8]) {
    record[VERSION].copy_from_slice(version);
    record[FLAGS_AT] &= !RECORD_FLAG_EPHEMERAL;
}

/// Whether a record's kind says that what it is of is gone.
fn is_removal(kind: u8) -> bool {
    RecordKind::from_byte(kind).is_some_and(RecordKind::is_removal)
}

/// Bytes of the record that begins at `at`; it was put there whole.
fn length_at(arena: &[u8], at: usize) -> usize {
    let header = &arena[at..at + RECORD_HEADER_BYTES];
    record_bytes(
        usize::from(read_u16(header, 4)),
        read_u32(header, 0) as usize,
    )
}
