//! Compaction: an old snapshot and the sealed segments behind it become a new snapshot. The twin of
//! `node/log/local/compaction.ts`, where it is described; both write the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::Chain;
use super::batch_file::{BatchReader, BatchWriter};
use super::fault::Fault;
use super::file_header::{FILE_HEADER_BYTES, SnapshotHeader, decode_segment_header};
use super::record_merge::merge_records;
use super::run_fold::RunFold;
use super::snapshot::{SnapshotReader, SnapshotWriter, Written, open_with_header, snapshot_aside};
use crate::records::read_record;

const RUN_KEYS: usize = 512 * 1024;
const RUN_BATCH_BYTES: usize = 256 * 1024;
const RUN_PIECE_BYTES: usize = 512 * 1024;
const PIECE_BYTES: usize = 8 * 1024 * 1024;

pub struct Job {
    /// The folder of snapshots; runs lie there too, as temporary files.
    pub folder: PathBuf,
    pub log_id: u64,
    pub partitions: u32,
    pub snapshot: Option<PathBuf>,
    /// All behind the old snapshot, oldest first; one at least.
    pub segments: Vec<Segment>,
    pub run_bytes: usize,
    /// Runs that are merged at a time.
    pub runs_max: usize,
}

pub struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub last_batch: u64,
    pub last_checksum: u64,
}

/// Makes the new snapshot durable; removes nothing but its own temporary files.
pub fn compact(job: &Job, is_cancelled: &AtomicBool) -> Result<Written, Fault> {
    let mut compaction = Compaction {
        job,
        is_cancelled,
        chain: first_chain(job.log_id),
        fold: RunFold::new(job.run_bytes, RUN_KEYS),
        levels: vec![Vec::new()],
        temporary: Vec::new(),
        revisions: vec![0; job.partitions as usize],
        time: 0,
    };
    let written = compaction.run();
    for path in &compaction.temporary {
        // What cannot be removed now is a temporary file, which the next start removes.
        let _ = fs::remove_file(path);
    }
    written
}

fn first_chain(log_id: u64) -> Chain {
    Chain {
        log_id,
        before: log_id,
        next: 1,
    }
}

struct Compaction<'a> {
    job: &'a Job,
    is_cancelled: &'a AtomicBool,
    chain: Chain,
    fold: RunFold,
    /// Runs by how often they were merged; newest last.
    levels: Vec<Vec<PathBuf>>,
    temporary: Vec<PathBuf>,
    revisions: Vec<u64>,
    time: u64,
}

impl Compaction<'_> {
    fn run(&mut self) -> Result<Written, Fault> {
        let job = self.job;
        let mut old = match &job.snapshot {
            Some(path) => Some(SnapshotReader::open(path, job.log_id, job.partitions)?),
            None => None,
        };
        if let Some(old) = &old {
            self.revisions.clone_from(&old.revisions);
            self.time = old.header.time;
            self.chain.before = old.header.last_checksum;
            self.chain.next = old.header.last_batch + 1;
        }
        for segment in &job.segments {
            self.read_segment(segment)?;
        }
        if !self.fold.is_empty() {
            self.end_run()?;
        }
        self.write_snapshot(old.as_mut())
    }

    fn check_cancelled(&self) -> Result<(), Fault> {
        check(self.is_cancelled)
    }

    fn read_segment(&mut self, segment: &Segment) -> Result<(), Fault> {
        let path = &segment.path;
        let (file, start, length) = open_with_header(path)?;
        let header = start.as_ref().and_then(decode_segment_header);
        let is_right = header.is_some_and(|header| {
            header.segment == segment.number
                && header.log_id == self.job.log_id
                && header.partitions == self.job.partitions
        });
        if !is_right {
            let expected = format!("the header of segment {}", segment.number);
            return Err(Fault::damaged(
                path,
                0,
                expected,
                "another, or one with a fault",
            ));
        }
        let range = FILE_HEADER_BYTES as u64..length;
        let mut reader = BatchReader::new(path, file, range, self.chain, PIECE_BYTES);
        let mut at = reader.offset;
        while let Some(piece) = reader.next()? {
            self.check_cancelled()?;
            self.fold_piece(reader.bytes(piece.bodies), path, at)?;
            at = reader.offset;
        }
        self.chain = reader.chain;
        let last = self.chain.next - 1;
        if last != segment.last_batch || self.chain.before != segment.last_checksum {
            let expected = format!("batches up to {}", segment.last_batch);
            let found = format!("the chain to end with {last}");
            return Err(Fault::damaged(path, reader.offset, expected, &found));
        }
        Ok(())
    }

    fn fold_piece(&mut self, bodies: &[u8], path: &Path, offset: u64) -> Result<(), Fault> {
        let malformed = || {
            let expected = "records that go on from those before";
            Fault::damaged(path, offset, expected, "others, in batches from there on")
        };
        let mut rest = bodies;
        while !rest.is_empty() {
            let (record, after) = read_record(rest).ok_or_else(malformed)?;
            let newest = self.revisions.get_mut(record.partition);
            let newest = newest.ok_or_else(malformed)?;
            if record.revision != *newest + 1 {
                return Err(malformed());
            }
            *newest = record.revision;
            self.time = self.time.max(record.time);
            let bytes = rest.get(..rest.len() - after.len()).unwrap_or_default();
            if !self.fold.add(&record, bytes) {
                self.end_run()?;
                self.fold.add(&record, bytes);
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes what is folded so far to a run; merges runs of a level that is full.
    fn end_run(&mut self) -> Result<(), Fault> {
        let mut run = self.new_run()?;
        self.fold.write_to(&mut run)?;
        run.close_batch()?;
        self.push_run(0, run.path);
        let mut level = 0;
        while let Some(full) = self.levels.get_mut(level)
            && full.len() >= self.job.runs_max
        {
            let full = std::mem::take(full);
            let mut merged = self.new_run()?;
            let mut opened = self.open_runs(full.iter().rev())?;
            let check = || check(self.is_cancelled);
            let emit = |record: &[u8], _| merged.append(record, 0);
            merge_records(opened.iter_mut(), false, emit, &check)?;
            merged.close_batch()?;
            for path in full {
                fs::remove_file(&path).map_err(Fault::io(&path))?;
            }
            level += 1;
            self.push_run(level, merged.path);
        }
        Ok(())
    }

    fn push_run(&mut self, level: usize, path: PathBuf) {
        match self.levels.get_mut(level) {
            Some(runs) => runs.push(path),
            None => self.levels.push(vec![path]),
        }
    }

    fn new_run(&mut self) -> Result<BatchWriter, Fault> {
        let name = format!("run-{}.tmp", self.temporary.len());
        let path = self.job.folder.join(name);
        self.temporary.push(path.clone());
        BatchWriter::create(&path, first_chain(self.job.log_id), RUN_BATCH_BYTES)
    }

    fn open_runs<'a>(
        &self,
        paths: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<Vec<BatchReader>, Fault> {
        paths
            .map(|path| {
                let file = fs::File::open(path).map_err(Fault::io(path))?;
                let length = file.metadata().map_err(Fault::io(path))?.len();
                let chain = first_chain(self.job.log_id);
                Ok(BatchReader::new(
                    path,
                    file,
                    0..length,
                    chain,
                    RUN_PIECE_BYTES,
                ))
            })
            .collect()
    }

    fn write_snapshot(&mut self, mut old: Option<&mut SnapshotReader>) -> Result<Written, Fault> {
        let job = self.job;
        let header = SnapshotHeader {
            partitions: job.partitions,
            log_id: job.log_id,
            last_segment: job.segments.last().map_or(0, |segment| segment.number),
            last_batch: self.chain.next - 1,
            last_checksum: self.chain.before,
            time: self.time,
        };
        self.temporary
            .push(snapshot_aside(&job.folder, header.last_segment));
        let mut writer = SnapshotWriter::create(&job.folder, &header, &self.revisions)?;
        // A level is newer than those above it.
        let newest_first = self.levels.iter().flat_map(|level| level.iter().rev());
        let mut runs = self.open_runs(newest_first)?;
        let records = old.as_deref_mut().map(|old| &mut old.records);
        let sources = runs.iter_mut().chain(records);
        let emit = |record: &[u8], time| writer.append(record, time);
        merge_records(sources, true, emit, &|| check(self.is_cancelled))?;
        if let Some(old) = old {
            old.check_end()?;
        }
        self.check_cancelled()?;
        writer.finish()
    }
}

fn check(is_cancelled: &AtomicBool) -> Result<(), Fault> {
    if is_cancelled.load(Ordering::Relaxed) {
        return Err(Fault::Cancelled);
    }
    Ok(())
}
