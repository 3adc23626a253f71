//! Merges sequences of records, sorted by space and key, of which newer ones stand over older ones. The twin of
//! `node/log/local/record-merge.ts`.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::batch_file::BatchReader;
use super::fault::Fault;
use super::run_fold::{VERSION, touch};
use crate::records::{RECORD_HEADER_BYTES, RecordKind, Space, read_record};

/// A sorted sequence, at one of its records.
struct Cursor<'a> {
    reader: &'a mut BatchReader,
    /// What is left of the piece.
    rest: Range<usize>,
    record: Range<usize>,
    kind: RecordKind,
    time: u64,
    space: Space,
    key: Vec<u8>,
    /// Lower is newer.
    age: usize,
}

impl Cursor<'_> {
    /// Moves to the next record; false at the end.
    fn step(&mut self, check: &dyn Fn() -> Result<(), Fault>) -> Result<bool, Fault> {
        while self.rest.is_empty() {
            check()?;
            match self.reader.next()? {
                Some(piece) => self.rest = piece.bodies,
                None if self.reader.is_at_end() => return Ok(false),
                None => {
                    return Err(Fault::damaged(
                        &self.reader.path,
                        self.reader.offset,
                        "the next batch of the file",
                        "other bytes, or a checksum that differs",
                    ));
                }
            }
        }
        let bytes = self.reader.bytes(self.rest.clone());
        let length = bytes.len();
        let Some((record, rest)) = read_record(bytes) else {
            return Err(Fault::damaged(
                &self.reader.path,
                self.reader.offset,
                "records",
                "others in batches up to there",
            ));
        };
        let end = self.rest.start + (length - rest.len());
        self.kind = record.kind;
        self.time = record.time;
        self.space = record.kind.space();
        self.key.clear();
        self.key.extend_from_slice(record.key);
        self.record = self.rest.start..end;
        self.rest.start = end;
        Ok(true)
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.reader.bytes(self.record.clone())
    }
}

impl Ord for Cursor<'_> {
    /// The heap gives its greatest first: of the lowest space the lowest key, of one key the newest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.space, &other.key, other.age).cmp(&(self.space, &self.key, self.age))
    }
}

impl PartialOrd for Cursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor<'_> {}

/// `sources` come newest first. With `is_whole`, nothing older is left out: removals go, and touches of
/// what is not there. `emit` takes a record and its time.
pub fn merge_records<'a>(
    sources: impl Iterator<Item = &'a mut BatchReader>,
    is_whole: bool,
    mut emit: impl FnMut(&[u8], u64) -> Result<(), Fault>,
    check: &dyn Fn() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut heap = BinaryHeap::new();
    for (age, reader) in sources.enumerate() {
        let mut cursor = Cursor {
            reader,
            rest: 0..0,
            record: 0..0,
            kind: RecordKind::Put,
            time: 0,
            space: Space::Keys,
            key: Vec::new(),
            age,
        };
        if cursor.step(check)? {
            heap.push(cursor);
        }
    }
    let mut same: Vec<Cursor<'_>> = Vec::new();
    while let Some(first) = heap.pop() {
        same.push(first);
        while let (Some(next), Some(first)) = (heap.peek(), same.first())
            && next.space == first.space
            && next.key == first.key
            && let Some(next) = heap.pop()
        {
            same.push(next);
        }
        emit_newest(&mut same, is_whole, &mut emit)?;
        for mut cursor in same.drain(..) {
            if cursor.step(check)? {
                heap.push(cursor);
            }
        }
    }
    Ok(())
}

/// What holds of a key, of which `same` has the records, newest first.
fn emit_newest(
    same: &mut [Cursor<'_>],
    is_whole: bool,
    emit: &mut impl FnMut(&[u8], u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(newest) = same.first_mut() else {
        return Ok(());
    };
    let (kind, time) = (newest.kind, newest.time);
    let mut version = [0; RECORD_HEADER_BYTES - VERSION.start];
    version.copy_from_slice(&newest.bytes()[VERSION]);
    let decisive = same
        .iter_mut()
        .find(|cursor| cursor.kind != RecordKind::Touch);
    match decisive {
        Some(stands) if !stands.kind.is_removal() => {
            // Of keys only, so what stands is a put.
            if kind == RecordKind::Touch {
                touch(stands.bytes(), &version);
            }
            emit(stands.bytes(), time)
        }
        _ if is_whole => Ok(()),
        Some(removal) => {
            let time = removal.time;
            emit(removal.bytes(), time)
        }
        // Touches only.
        None => match same.first_mut() {
            Some(touch) => emit(touch.bytes(), time),
            None => Ok(()),
        },
    }
}
