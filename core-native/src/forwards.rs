//! What a frame leaves to other workers: a ready request frame for each that has operations in it, one behind
//! the other; `ts/engine/workers.ts` has the layout. A frame is split in two passes, without an allocation:
//! the first finds out how long each part is, the second copies every operation to its place.

use crate::layout::{
    DATA_OFFSET_AT, HEADER_BYTES, OPERATION_BYTES, OPERATION_KEY_LENGTH, OPERATION_VALUE_LENGTH,
    REQUEST_HEADER, VECTOR_LENGTH_AT, read_u16, read_u32, write,
};
use crate::limits::WORKERS_MAX;

/// u32 bytes of the entry, u32 worker, u32 operations, u32 bytes of the frame.
pub const FORWARD_HEAD_BYTES: usize = 16;
/// Bytes of an entry beside its operations and their keys and values, at most.
pub const FORWARD_OVERHEAD_BYTES: usize = FORWARD_HEAD_BYTES + HEADER_BYTES + 4 + 7;

/// One operation of a frame that is split; no worker: it is not forwarded.
pub struct Forwarded<'a> {
    /// Its struct.
    pub bytes: &'a [u8],
    pub worker: Option<usize>,
}

/// The part of one worker: its size, then where the next operation goes.
#[derive(Clone, Copy, Default)]
struct Part {
    count: usize,
    data_bytes: usize,
    operation_at: usize,
    data_at: usize,
}

/// The buffer has room for whatever a frame can leave.
pub struct ForwardWriter<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl<'a> ForwardWriter<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, length: 0 }
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// All of a frame, as it came, to one worker.
    pub fn whole(&mut self, worker: usize, count: usize, frame: &[u8]) {
        let at = self.begin(worker, count, frame.len());
        self.bytes[at..at + frame.len()].copy_from_slice(frame);
    }

    /// The operations of a frame to their workers. `data` has keys and values of all of them.
    pub fn split<'b>(
        &mut self,
        operations: impl Iterator<Item = Forwarded<'b>> + Clone,
        data: &[u8],
    ) {
        let mut parts = [Part::default(); WORKERS_MAX];
        for Forwarded { bytes, worker } in operations.clone() {
            if let Some(worker) = worker {
                parts[worker].count += 1;
                parts[worker].data_bytes += data_bytes(bytes);
            }
        }
        for (worker, part) in parts.iter_mut().enumerate() {
            if part.count > 0 {
                self.begin_part(worker, part);
            }
        }
        let mut rest = data;
        for Forwarded { bytes, worker } in operations {
            let (own, after) = rest.split_at(data_bytes(bytes));
            rest = after;
            if let Some(worker) = worker {
                let part = &mut parts[worker];
                self.bytes[part.operation_at..part.operation_at + OPERATION_BYTES]
                    .copy_from_slice(bytes);
                self.bytes[part.data_at..part.data_at + own.len()].copy_from_slice(own);
                part.operation_at += OPERATION_BYTES;
                part.data_at += own.len();
            }
        }
    }

    /// Writes all of an entry but its operations and their keys and values.
    fn begin_part(&mut self, worker: usize, part: &mut Part) {
        let data_length_at = HEADER_BYTES + part.count * OPERATION_BYTES;
        let frame_bytes = data_length_at + 4 + part.data_bytes;
        let at = self.begin(worker, part.count, frame_bytes);
        let frame = &mut self.bytes[at..at + frame_bytes];
        write(frame, 0, REQUEST_HEADER);
        write(frame, VECTOR_LENGTH_AT, (part.count as u32).to_le_bytes());
        let data_offset = (data_length_at - DATA_OFFSET_AT) as u32;
        write(frame, DATA_OFFSET_AT, data_offset.to_le_bytes());
        write(
            frame,
            data_length_at,
            (part.data_bytes as u32).to_le_bytes(),
        );
        part.operation_at = at + HEADER_BYTES;
        part.data_at = at + data_length_at + 4;
    }

    /// Writes head and padding of an entry. Where its frame goes.
    fn begin(&mut self, worker: usize, count: usize, frame_bytes: usize) -> usize {
        let total = FORWARD_HEAD_BYTES + frame_bytes.next_multiple_of(8);
        let entry = &mut self.bytes[self.length..self.length + total];
        for (index, figure) in [total, worker, count, frame_bytes].into_iter().enumerate() {
            write(entry, index * 4, (figure as u32).to_le_bytes());
        }
        entry[FORWARD_HEAD_BYTES + frame_bytes..].fill(0);
        let frame_at = self.length + FORWARD_HEAD_BYTES;
        self.length += total;
        frame_at
    }
}

/// Bytes of key and value of an operation.
#[inline]
fn data_bytes(operation: &[u8]) -> usize {
    usize::from(read_u16(operation, OPERATION_KEY_LENGTH))
        + read_u32(operation, OPERATION_VALUE_LENGTH) as usize
}

#[cfg(test)]
#[path = "forwards_tests.rs"]
mod tests;
