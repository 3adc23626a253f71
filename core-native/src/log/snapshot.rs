//! Snapshots, read and written as streams. The twin of `node/log/local/snapshot-reader.ts` and
//! `snapshot-writer.ts`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::batch::{BATCH_HEADER_BYTES, Chain};
use super::batch_file::{BatchReader, BatchWriter, read_at};
use super::fault::Fault;
use super::file_header::{
    FILE_HEADER_BYTES, SnapshotHeader, decode_snapshot_header, encode_snapshot_header,
    header_checksum,
};
use crate::layout::read_u64;

/// Bytes of the body of the last batch: number of records, their bytes.
const END_BYTES: usize = 16;
const END_BATCH_BYTES: u64 = (BATCH_HEADER_BYTES + END_BYTES) as u64;
/// Bytes of records in a batch; a larger record has one of its own. Part of a snapshot's bytes.
const BATCH_BYTES: usize = 1024 * 1024;
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// A snapshot whose header and revisions were read; `records` stands before its first record and ends
/// before its last batch.
pub struct SnapshotReader {
    pub header: SnapshotHeader,
    /// The newest of each partition.
    pub revisions: Vec<u64>,
    pub records: BatchReader,
}

impl SnapshotReader {
    pub fn open(path: &Path, log_id: u64, partitions: u32) -> Result<Self, Fault> {
        let (file, start, length) = open_with_header(path)?;
        let expected =
            format!("the header of a snapshot of this log, with {partitions} partitions");
        let header = start
            .as_ref()
            .and_then(decode_snapshot_header)
            .filter(|header| header.log_id == log_id && header.partitions == partitions);
        let (Some(header), Some(start)) = (header, start) else {
            return Err(Fault::damaged(
                path,
                0,
                expected,
                "another, or one with a fault",
            ));
        };
        let chain = Chain {
            log_id,
            before: header_checksum(&start),
            next: 0,
        };
        let at = FILE_HEADER_BYTES as u64;
        let first_end = at + BATCH_HEADER_BYTES as u64 + u64::from(partitions) * 8;
        let end = length.saturating_sub(END_BATCH_BYTES).max(at);
        // The batch of revisions has a known length, so that a reader which ends there gives it alone.
        let mut records = BatchReader::new(path, file, at..first_end.min(end), chain, PIECE_BYTES);
        let revisions: Vec<u64> = match records.next()? {
            Some(piece) => records
                .bytes(piece.bodies)
                .chunks_exact(8)
                .map(|word| read_u64(word, 0))
                .collect(),
            None => Vec::new(),
        };
        if revisions.len() != partitions as usize || !records.is_at_end() {
            let expected = format!("the revisions of {partitions} partitions");
            return Err(Fault::damaged(path, at, expected, "other bytes"));
        }
        records.extend_to(end, PIECE_BYTES);
        Ok(Self {
            header,
            revisions,
            records,
        })
    }

    /// Checks the last batch, once all records were read.
    pub fn check_end(&mut self) -> Result<(), Fault> {
        let at = self.records.offset;
        // The revisions were counted too.
        let partitions = self.revisions.len() as u64;
        let count = self.records.records.saturating_sub(partitions);
        let bytes = self.records.body_bytes.saturating_sub(partitions * 8);
        self.records.end += END_BATCH_BYTES;
        let body: &[u8] = match self.records.next()? {
            Some(piece) => self.records.bytes(piece.bodies),
            None => &[],
        };
        if body.len() == END_BYTES && read_u64(body, 0) == count && read_u64(body, 8) == bytes {
            return Ok(());
        }
        let expected = format!("its last batch, for {count} records of {bytes} bytes");
        let path = self.records.path.clone();
        Err(Fault::damaged(
            &path,
            at,
            expected,
            "another, or other bytes",
        ))
    }
}

/// The file, its header (`None` where it is shorter) and its length.
pub fn open_with_header(
    path: &Path,
) -> Result<(File, Option<[u8; FILE_HEADER_BYTES]>, u64), Fault> {
    let file = File::open(path).map_err(Fault::io(path))?;
    let length = file.metadata().map_err(Fault::io(path))?.len();
    let mut start = [0; FILE_HEADER_BYTES];
    let count = read_at(&file, &mut start, 0).map_err(Fault::io(path))?;
    Ok((file, (count == FILE_HEADER_BYTES).then_some(start), length))
}

/// Where a snapshot is written before it gets its name, which is this one without its extension.
pub fn snapshot_aside(folder: &Path, last_segment: u64) -> PathBuf {
    folder.join(format!("{last_segment:016x}.snap.tmp"))
}

pub struct SnapshotWriter {
    writer: BatchWriter,
    folder: PathBuf,
    path: PathBuf,
    time: u64,
}

/// A snapshot that is durable under its name.
#[derive(Debug)]
pub struct Written {
    pub path: PathBuf,
    pub bytes: u64,
    pub records: u64,
}

impl SnapshotWriter {
    pub fn create(
        folder: &Path,
        header: &SnapshotHeader,
        revisions: &[u64],
    ) -> Result<Self, Fault> {
        let start = encode_snapshot_header(header);
        let chain = Chain {
            log_id: header.log_id,
            before: header_checksum(&start),
            next: 0,
        };
        let aside = snapshot_aside(folder, header.last_segment);
        let mut writer = BatchWriter::create(&aside, chain, BATCH_BYTES)?;
        writer.raw(&start)?;
        let body: Vec<u8> = revisions
            .iter()
            .flat_map(|revision| revision.to_le_bytes())
            .collect();
        writer.batch(&body, revisions.len() as u32, header.time)?;
        Ok(Self {
            writer,
            folder: folder.to_owned(),
            path: aside.with_extension(""),
            time: header.time,
        })
    }

    pub fn append(&mut self, record: &[u8], time: u64) -> Result<(), Fault> {
        self.writer.append(record, time)
    }

    /// Makes the snapshot durable under its name.
    pub fn finish(mut self) -> Result<Written, Fault> {
        let writer = &mut self.writer;
        writer.close_batch()?;
        let (records, record_bytes) = (writer.records, writer.record_bytes);
        let body = [records.to_le_bytes(), record_bytes.to_le_bytes()].concat();
        writer.batch(&body, 0, self.time)?;
        writer.finish()?;
        fs::rename(&writer.path, &self.path)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(Fault::io(&self.path))?;
        Ok(Written {
            bytes: writer.bytes,
            records,
            path: self.path,
        })
    }
}

/// Makes directory entries durable, where the platform lets a folder be opened.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(folder)?.sync_all()
}
