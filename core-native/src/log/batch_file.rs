//! Files of batches, read in pieces of bounded size and written from records. The twin of
//! `node/log/local/batch-stream.ts` and `batch-writer.ts`.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::batch::{BATCH_HEADER_BYTES, Chain, gather_batches, seal_batch};
use super::fault::Fault;
use crate::layout::read_u32;

/// Bytes written between two syncs, so that none keeps the log's own waiting for long.
const SYNC_BYTES: usize = 4 * 1024 * 1024;

/// Bodies of whole batches, one after another: where they stand in the reader's buffer.
pub struct Piece {
    pub bodies: Range<usize>,
}

pub struct BatchReader {
    pub path: PathBuf,
    pub chain: Chain,
    /// Byte behind the newest batch that was given out.
    pub offset: u64,
    /// Bytes of the file that are to be looked at.
    pub end: u64,
    /// Records that were given out, as the batches count them, and bytes of bodies.
    pub records: u64,
    pub body_bytes: u64,
    file: File,
    buffer: Vec<u8>,
    /// What is read and not given out is `buffer[from..filled]`.
    from: usize,
    filled: usize,
}

impl BatchReader {
    pub fn new(
        path: &Path,
        file: File,
        range: Range<u64>,
        chain: Chain,
        piece_bytes: usize,
    ) -> Self {
        let length = range.end.saturating_sub(range.start);
        let buffer = vec![0; (length as usize).min(piece_bytes).max(BATCH_HEADER_BYTES)];
        Self {
            path: path.to_owned(),
            chain,
            offset: range.start,
            end: range.end,
            records: 0,
            body_bytes: 0,
            file,
            buffer,
            from: 0,
            filled: 0,
        }
    }

    /// The next whole batches; `None` where the chain ends.
    pub fn next(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            let bytes = self
                .buffer
                .get_mut(self.from..self.filled)
                .unwrap_or_default();
            let gathered = gather_batches(bytes, &mut self.chain);
            let start = self.from;
            self.from += gathered.consumed;
            self.offset += gathered.consumed as u64;
            if gathered.consumed > 0 {
                self.records += gathered.records;
                self.body_bytes += gathered.body_bytes as u64;
                return Ok(Some(Piece {
                    bodies: start..start + gathered.body_bytes,
                }));
            }
            if gathered.is_invalid || !self.fill().map_err(Fault::io(&self.path))? {
                return Ok(None);
            }
        }
    }

    /// The bytes of a piece, until the next one.
    pub fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        self.buffer.get_mut(range).unwrap_or_default()
    }

    /// Looks at more of the file, in pieces of this size.
    pub fn extend_to(&mut self, end: u64, piece_bytes: usize) {
        self.end = end;
        if self.buffer.len() < piece_bytes {
            self.buffer.resize(piece_bytes, 0);
        }
    }

    /// Whether all bytes up to `end` were given out.
    pub fn is_at_end(&self) -> bool {
        self.offset == self.end
    }

    /// Reads on; false where there is nothing more.
    fn fill(&mut self) -> io::Result<bool> {
        let kept = self.filled - self.from;
        let left = self.end.saturating_sub(self.offset) as usize;
        if kept >= left {
            return Ok(false);
        }
        self.buffer.copy_within(self.from..self.filled, 0);
        if kept >= BATCH_HEADER_BYTES {
            // The batch that begins there fits, whatever its length; a false one is cut by the file.
            let needed = BATCH_HEADER_BYTES + read_u32(&self.buffer, 40) as usize;
            let needed = needed.min(left);
            if needed > self.buffer.len() {
                self.buffer.resize(needed, 0);
            }
        }
        self.from = 0;
        self.filled = kept;
        let wanted = self.buffer.len().min(left);
        while self.filled < wanted {
            let at = self.offset + self.filled as u64;
            match read_at(&self.file, &mut self.buffer[self.filled..wanted], at) {
                Ok(0) => {
                    self.end = at;
                    break;
                }
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled > kept)
    }
}

#[cfg(unix)]
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, at)
}

#[cfg(windows)]
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, at)
}

pub struct BatchWriter {
    pub path: PathBuf,
    /// Bytes of the file so far.
    pub bytes: u64,
    /// Records appended, and their bytes.
    pub records: u64,
    pub record_bytes: u64,
    file: File,
    chain: Chain,
    batch_bytes: usize,
    /// The batch that fills, with room for its header.
    buffer: Vec<u8>,
    batch_records: u32,
    batch_time: u64,
    unsynced: usize,
}

impl BatchWriter {
    pub fn create(path: &Path, chain: Chain, batch_bytes: usize) -> Result<Self, Fault> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(Fault::io(path))?;
        let mut buffer = Vec::with_capacity(BATCH_HEADER_BYTES + batch_bytes);
        buffer.resize(BATCH_HEADER_BYTES, 0);
        Ok(Self {
            path: path.to_owned(),
            bytes: 0,
            records: 0,
            record_bytes: 0,
            file,
            chain,
            batch_bytes,
            buffer,
            batch_records: 0,
            batch_time: 0,
            unsynced: 0,
        })
    }

    /// Bytes that are no batch; before the first one.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.file.write_all(bytes).map_err(Fault::io(&self.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// A record of this time. The batch before it is closed where it would grow above its bound.
    pub fn append(&mut self, record: &[u8], time: u64) -> Result<(), Fault> {
        if self.buffer.len() + record.len() > BATCH_HEADER_BYTES + self.batch_bytes {
            self.close_batch()?;
        }
        self.buffer.extend_from_slice(record);
        self.batch_records += 1;
        self.batch_time = self.batch_time.max(time);
        self.records += 1;
        self.record_bytes += record.len() as u64;
        Ok(())
    }

    /// Closes the batch that fills, if there is one.
    pub fn close_batch(&mut self) -> Result<(), Fault> {
        if self.batch_records == 0 {
            return Ok(());
        }
        let (records, time) = (self.batch_records, self.batch_time);
        self.batch_records = 0;
        self.batch_time = 0;
        self.seal(records, time)
    }

    /// A batch of its own, whose body is no records; the one that fills is closed.
    pub fn batch(&mut self, body: &[u8], count: u32, time: u64) -> Result<(), Fault> {
        self.close_batch()?;
        self.buffer.extend_from_slice(body);
        self.seal(count, time)
    }

    /// Makes the file durable.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.close_batch()?;
        self.file.sync_all().map_err(Fault::io(&self.path))
    }

    fn seal(&mut self, records: u32, time: u64) -> Result<(), Fault> {
        seal_batch(&mut self.buffer, records, time, 0, &mut self.chain);
        self.file
            .write_all(&self.buffer)
            .map_err(Fault::io(&self.path))?;
        self.bytes += self.buffer.len() as u64;
        self.unsynced += self.buffer.len();
        self.buffer.truncate(BATCH_HEADER_BYTES);
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.sync_data().map_err(Fault::io(&self.path))?;
        }
        Ok(())
    }
}
