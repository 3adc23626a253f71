//! The thread of the log: takes what was appended, writes it as batches and makes it durable. One batch
//! is on its way at a time; what is appended meanwhile goes into the next one, which the thread starts
//! by itself. The twin of `node/log/local/ts-writer.ts`, where the rules stand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{BATCH_HEADER_BYTES, Chain, seal_batch};
use super::files::Files;
use super::queue::{End, Failure, Group, Sealed, Segment, Shared, State};

/// Bytes of a segment's header.
pub const FILE_HEADER_BYTES: u64 = 64;
/// Full batches written after which an interval is not waited for: what is pending has a bound.
const UNSYNCED_BATCHES_MAX: u64 = 2;
const MARK_BYTES: u64 = BATCH_HEADER_BYTES as u64;

pub struct Options {
    /// Bytes of records in a batch, unless one append is larger.
    pub batch_bytes_max: usize,
    /// How long what was written may stay without a sync; zero: each batch is synced.
    pub sync_interval: Duration,
    /// Between two tries to write to a full disk.
    pub space_retry: Duration,
}

/// The segment that is written to.
struct Active {
    segment: Segment,
    /// Where the next batch goes.
    at: u64,
}

/// Why the thread ends.
enum Stop {
    Done,
    Failed(Failure),
}

enum Task {
    Write(Group),
    Mark(u64),
    Sync,
    End(End),
}

pub struct Writer {
    shared: Arc<Shared>,
    files: Box<dyn Files>,
    /// Tells JavaScript to look at the progress.
    notify: Box<dyn Fn() + Send>,
    options: Options,
    chain: Chain,
    active: Option<Active>,
    /// The newest batch is no mark.
    is_unmarked: bool,
    /// Newest append and bytes of records that were written, durable or not.
    written: (u64, u64),
    /// Number of the newest batch that was written whole.
    written_batch: u64,
    /// Number of the newest batch that was synced.
    synced_batch: u64,
    /// Something was written since the last sync.
    is_unsynced: bool,
    /// An append was written since the last sync; since when.
    waiting_since: Option<Instant>,
    /// A batch has just been written: go on with the next one without being told.
    is_busy: bool,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        files: Box<dyn Files>,
        notify: Box<dyn Fn() + Send>,
        options: Options,
        chain: Chain,
    ) -> Self {
        Self {
            shared,
            files,
            notify,
            options,
            chain,
            active: None,
            // The last batch that an earlier opening left may be without a mark.
            is_unmarked: chain.next > 1,
            written: (0, 0),
            written_batch: chain.next.saturating_sub(1),
            synced_batch: chain.next.saturating_sub(1),
            is_unsynced: false,
            waiting_since: None,
            is_busy: false,
            buffer: vec![0; BATCH_HEADER_BYTES],
        }
    }

    /// Returns when the log was closed, has failed, or the environment goes down.
    pub fn run(mut self) {
        let stop = catch_unwind(AssertUnwindSafe(|| self.work()));
        let failure = match stop {
            Ok(Stop::Done) => None,
            Ok(Stop::Failed(failure)) => Some(failure),
            Err(_) => Some(self.failure("panic", 0, 0)),
        };
        // Closes the files before the end shows.
        self.active = None;
        self.publish(|state| {
            state.segments.clear();
            state.failure = failure;
            state.progress.has_ended = true;
        });
    }

    fn work(&mut self) -> Stop {
        loop {
            let done = match self.next_task() {
                None => return Stop::Done,
                Some(Task::Write(group)) => self.write_group(group),
                Some(Task::Mark(time)) => self.write_mark(time),
                Some(Task::Sync) => self.sync(),
                Some(Task::End(end)) => match self.end(end) {
                    Ok(()) => Err(Stop::Done),
                    Err(stop) => Err(stop),
                },
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    /// Waits for what is to be done; `None` where the environment goes down.
    fn next_task(&mut self) -> Option<Task> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if state.is_aborted {
                return None;
            }
            let due = self
                .waiting_since
                .map(|since| since + self.options.sync_interval);
            if due.is_some_and(|due| due <= Instant::now()) {
                return Some(Task::Sync);
            }
            if self.is_busy || state.is_flushed || state.end.is_some() {
                if let Some(group) = state.take_group() {
                    self.is_busy = true;
                    return Some(Task::Write(group));
                }
                self.is_busy = false;
                state.is_flushed = false;
            }
            if let Some(time) = state.mark.take()
                && self.is_unmarked
                && !state.has_groups()
                && (self.active.is_some() || !state.segments.is_empty())
            {
                return Some(Task::Mark(time));
            }
            if let Some(end) = state.end {
                return Some(Task::End(end));
            }
            state.is_parked = true;
            state = self.wait(state, due);
            state.is_parked = false;
        }
    }

    /// Waits to be asked for something, or until `due`.
    fn wait<'a>(
        &self,
        state: std::sync::MutexGuard<'a, State>,
        due: Option<Instant>,
    ) -> std::sync::MutexGuard<'a, State> {
        use std::sync::PoisonError;
        match due {
            None => self
                .shared
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let left = due.saturating_duration_since(Instant::now());
                self.shared
                    .wake
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }

    fn write_group(&mut self, mut group: Group) -> Result<(), Stop> {
        let length = group.bytes.len();
        self.make_room(length as u64)?;
        let durable = self.synced_batch;
        seal_batch(
            &mut group.bytes,
            group.records,
            group.time,
            durable,
            &mut self.chain,
        );
        self.write(&group.bytes)?;
        self.is_unmarked = true;
        self.written.0 = group.last_append;
        self.written.1 += group.body_bytes() as u64;
        let bytes_max = self.options.batch_bytes_max;
        if self.must_sync() {
            self.sync()?;
            self.shared.lock().reuse(group, bytes_max);
            return Ok(());
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        let rest = self.rest();
        self.publish(|state| {
            state.progress.rest = rest;
            state.reuse(group, bytes_max);
        });
        Ok(())
    }

    fn must_sync(&self) -> bool {
        if self.options.sync_interval.is_zero() {
            return true;
        }
        let unsynced = self.written.1 - self.shared.lock().progress.durable_bytes;
        unsynced >= UNSYNCED_BATCHES_MAX * self.options.batch_bytes_max as u64
    }

    /// The batch before is synced first: the mark says so.
    fn write_mark(&mut self, time: u64) -> Result<(), Stop> {
        if self.is_unsynced {
            self.sync()?;
        }
        // There is room for it behind every batch.
        if self.active.is_none() {
            self.make_room(MARK_BYTES)?;
        }
        let mut mark = std::mem::take(&mut self.buffer);
        mark.resize(BATCH_HEADER_BYTES, 0);
        seal_batch(&mut mark, 0, time, self.synced_batch, &mut self.chain);
        let done = self.write(&mark);
        self.buffer = mark;
        done?;
        self.is_unmarked = false;
        // Otherwise a loss of power could take it and leave the batch behind it.
        self.sync()
    }

    fn end(&mut self, end: End) -> Result<(), Stop> {
        let can_mark = self.active.is_some() || !self.shared.lock().segments.is_empty();
        if self.is_unmarked && can_mark {
            self.write_mark(end.time)?;
        }
        if self.is_unsynced {
            self.sync()
        } else {
            Ok(())
        }
    }

    /// Goes on to the next segment where a batch, with a mark behind it, does not fit into this one.
    fn make_room(&mut self, length: u64) -> Result<(), Stop> {
        if let Some(active) = &self.active {
            let is_empty = active.at == FILE_HEADER_BYTES;
            if is_empty || active.at + length + MARK_BYTES <= active.segment.bytes {
                return Ok(());
            }
        }
        // A batch in the next segment that follows one which is not durable would be lost with it.
        if self.is_unsynced {
            self.sync()?;
        }
        let sealed = self.active.take().map(|active| Sealed {
            number: active.segment.number,
            bytes: active.at,
            last_batch: self.written_batch,
            last_checksum: self.chain.before,
        });
        if sealed.is_some() {
            self.publish(|state| {
                state.sealed.extend(sealed);
                state.progress.rest = 0;
            });
        }
        let segment = self.next_segment()?;
        let active = Active {
            segment,
            at: FILE_HEADER_BYTES,
        };
        let number = active.segment.number;
        self.active = Some(active);
        let rest = self.rest();
        self.publish(|state| {
            state.progress.segment = number;
            state.progress.rest = rest;
        });
        Ok(())
    }

    fn next_segment(&mut self) -> Result<Segment, Stop> {
        let mut state = self.shared.lock();
        loop {
            if state.is_aborted {
                return Err(Stop::Done);
            }
            if let Some(segment) = state.segments.pop_front() {
                return Ok(segment);
            }
            state.is_parked = true;
            state = self.wait(state, None);
            state.is_parked = false;
        }
    }

    /// Writes the batch that was sealed last. A full disk is waited for: nothing of it was synced, so
    /// the same bytes may be written again.
    fn write(&mut self, batch: &[u8]) -> Result<(), Stop> {
        let mut done = 0;
        while done < batch.len() {
            let Some(active) = &self.active else {
                return Err(Stop::Failed(self.failure("write", 0, 0)));
            };
            let at = active.at + done as u64;
            let rest = batch.get(done..).unwrap_or_default();
            match self.files.write(&active.segment.file, rest, at) {
                Ok(0) => return Err(Stop::Failed(self.failure("write", libc::EIO, at))),
                Ok(taken) => {
                    done += taken;
                    self.is_unsynced = true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => self.wait_for_space()?,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    return Err(Stop::Failed(self.failure("write", errno, at)));
                }
            }
        }
        if let Some(active) = &mut self.active {
            active.at += batch.len() as u64;
        }
        self.written_batch = self.chain.next - 1;
        if self.shared.lock().progress.is_full {
            self.publish(|state| state.progress.is_full = false);
        }
        Ok(())
    }

    fn wait_for_space(&mut self) -> Result<(), Stop> {
        self.publish(|state| state.progress.is_full = true);
        // What was written at an interval is not to wait for space as well.
        if self.waiting_since.is_some() {
            self.sync()?;
        }
        let due = Instant::now() + self.options.space_retry;
        let mut state = self.shared.lock();
        while Instant::now() < due {
            if state.is_aborted {
                return Err(Stop::Done);
            }
            state.is_parked = true;
            state = self.wait(state, Some(due));
            state.is_parked = false;
        }
        Ok(())
    }

    /// Never tried again after a failure: the kernel may have dropped what it could not write.
    fn sync(&mut self) -> Result<(), Stop> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        let at = active.at;
        if let Err(error) = self.files.sync(&active.segment.file) {
            let errno = error.raw_os_error().unwrap_or(0);
            return Err(Stop::Failed(self.failure("sync", errno, at)));
        }
        self.is_unsynced = false;
        self.waiting_since = None;
        self.synced_batch = self.written_batch;
        let (durable, durable_bytes) = self.written;
        let newest_batch = self.written_batch;
        let rest = self.rest();
        self.publish(|state| {
            state.progress.durable = durable;
            state.progress.durable_bytes = durable_bytes;
            state.progress.newest_batch = newest_batch;
            state.progress.rest = rest;
        });
        Ok(())
    }

    fn rest(&self) -> u64 {
        let active = self.active.as_ref();
        active.map_or(0, |active| active.segment.bytes.saturating_sub(active.at))
    }

    fn failure(&self, call: &'static str, errno: i32, offset: u64) -> Failure {
        let active = self.active.as_ref();
        Failure {
            call,
            errno,
            segment: active.map_or(0, |active| active.segment.number),
            offset,
        }
    }

    fn publish(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        (self.notify)();
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::super::batch::gather_batches;
    use super::super::files::ScriptedFiles;
    use super::super::record_check::Checked;
    use super::*;
    use std::fs::File;
    use std::sync::mpsc;

    const CHAIN: Chain = Chain {
        log_id: 7,
        before: 7,
        next: 1,
    };

    /// Runs a log over appends of 16 bytes, each flushed and waited for, and closes it. Returns the last
    /// figures and what the first segment holds.
    fn run(script: &str, appends: u64) -> (Shared, Vec<u8>) {
        let path = std::env::temp_dir().join(format!(
            "rondo-writer-{}-{}",
            std::process::id(),
            script.replace([':', ','], "-"),
        ));
        let file = File::create(&path).unwrap();
        let shared = Arc::new(Shared::new(0));
        let (told, progress) = mpsc::channel();
        let options = Options {
            batch_bytes_max: 1024,
            sync_interval: Duration::ZERO,
            space_retry: Duration::from_millis(1),
        };
        let files = Box::new(ScriptedFiles::parse(script).unwrap());
        let notify = Box::new(move || told.send(()).unwrap_or_default());
        let writer = Writer::new(Arc::clone(&shared), files, notify, options, CHAIN);
        let thread = std::thread::spawn(move || writer.run());
        let bytes = 1 << 16;
        let segment = Segment {
            number: 1,
            file,
            bytes,
        };
        shared.ask(|state| state.segments.push_back(segment));
        for number in 1..=appends {
            let checked = Checked {
                records: 1,
                time: number,
            };
            shared.ask(|state| {
                state.append(&[number as u8; 16], checked, number, 1024);
                state.is_flushed = true;
            });
            loop {
                let state = shared.lock();
                if state.progress.durable >= number || state.progress.has_ended {
                    break;
                }
                drop(state);
                progress.recv().unwrap();
            }
        }
        shared.ask(|state| state.end = Some(End { time: 99 }));
        thread.join().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let Ok(shared) = Arc::try_unwrap(shared) else {
            panic!("the thread has let go of it");
        };
        (shared, bytes)
    }

    fn batches(bytes: &[u8]) -> u64 {
        let mut chain = CHAIN;
        let mut body = bytes
            .get(FILE_HEADER_BYTES as usize..)
            .unwrap_or_default()
            .to_vec();
        gather_batches(&mut body, &mut chain);
        chain.next - 1
    }

    #[test]
    fn writes_syncs_and_marks_its_end() {
        let (shared, bytes) = run("none", 3);
        let state = shared.lock();
        assert!(state.failure.is_none());
        assert_eq!(
            (state.progress.durable, state.progress.newest_batch),
            (3, 4)
        );
        assert_eq!(batches(&bytes), 4);
    }

    #[test]
    fn goes_on_behind_what_passes() {
        let (shared, bytes) = run(
            "write:1:SHORT,write:3:EINTR,write:5:ENOSPC,write:6:ENOSPC",
            4,
        );
        assert!(shared.lock().failure.is_none());
        assert_eq!((shared.lock().progress.durable, batches(&bytes)), (4, 5));
    }

    #[test]
    fn ends_at_a_failure_without_another_byte() {
        for (script, call, errno) in [
            ("write:3:EIO", "write", libc::EIO),
            ("sync:3:EIO", "sync", libc::EIO),
            ("sync:3:ENOSPC", "sync", libc::ENOSPC),
            ("sync:3:PANIC", "panic", 0),
        ] {
            let (shared, bytes) = run(script, 5);
            let state = shared.lock();
            let failure = state.failure.clone().unwrap();
            assert_eq!((failure.call, failure.errno), (call, errno), "{script}");
            assert!(state.progress.has_ended);
            assert_eq!(
                (state.progress.durable, batches(&bytes)),
                (2, 2),
                "{script}"
            );
        }
    }

    #[test]
    fn canary_a_sync_that_was_not_made_loses_what_was_acknowledged() {
        let (shared, bytes) = run("sync:2:LIE", 3);
        assert_eq!((shared.lock().progress.durable, batches(&bytes)), (3, 1));
    }
}
