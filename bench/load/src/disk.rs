//! What the disk itself can do: one thread that writes a record's bytes and has them made durable, over
//! and over, into a file that has its full length and was written once. Every log that waits for its sync
//! before it answers can at best be as fast.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write, stderr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::fault::Fault;
use crate::limits::{DISK_CHUNK_BYTES, DISK_FILE_BYTES_MAX, DISK_WRITE_BYTES_MAX};
use crate::measure::{Measure, Window};
use crate::option_values::{seconds, seconds_above_zero};
use crate::protocol::Facts;
use crate::worker::Summary;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Measures a bare loop of write and sync, which bounds what any durable log can do
#[derive(Args, Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskOptions {
    /// File to write; it must not exist, and is removed at the end
    #[arg(long, value_name = "PATH")]
    pub file: PathBuf,
    /// Bytes of one write
    #[arg(long, value_name = "N", default_value_t = 128,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(DISK_WRITE_BYTES_MAX)))]
    pub bytes: u32,
    /// Bytes of the file; written whole before, and gone through again and again
    #[arg(long, value_name = "N", default_value_t = 64 * 1024 * 1024,
        value_parser = clap::value_parser!(u64).range(1..=DISK_FILE_BYTES_MAX))]
    pub file_bytes: u64,
    /// How long to measure: 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds_above_zero)]
    #[serde(rename = "durationSeconds")]
    pub duration: f64,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    #[serde(rename = "warmUpSeconds")]
    pub warm_up: f64,
    /// Print one JSON object on standard output
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// No progress on standard error
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

impl DiskOptions {
    pub fn check(&self) -> Result<(), String> {
        if u64::from(self.bytes) > self.file_bytes {
            return Err(format!(
                "--bytes {} is more than the file has: --file-bytes {}",
                self.bytes, self.file_bytes
            ));
        }
        Ok(())
    }
}

/// A file that is gone when this is.
struct Scratch<'a> {
    file: File,
    path: &'a Path,
}

impl<'a> Scratch<'a> {
    fn create(path: &'a Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self { file, path })
    }

    /// Writes zeros to the whole file, so that later writes change no metadata.
    fn fill(&self, bytes: u64, signal: &AtomicUsize) -> io::Result<()> {
        let zeros = vec![0; DISK_CHUNK_BYTES];
        let mut at = 0;
        while at < bytes && signal.load(Ordering::Relaxed) == 0 {
            let length = (bytes - at).min(DISK_CHUNK_BYTES as u64);
            self.file.write_all_at(&zeros[..length as usize], at)?;
            at += length;
        }
        self.file.sync_all()
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // Nothing more can be done for a file that does not go.
        let _ = fs::remove_file(self.path);
    }
}

/// Runs until the measured time is over, or `signal` is not 0.
pub fn run(options: &DiskOptions, signal: &AtomicUsize) -> Result<Summary, Fault> {
    let fault = |cause| Fault::Write {
        path: options.file.display().to_string(),
        cause,
    };
    let progress = Progress::new(options.quiet);
    let scratch = Scratch::create(&options.file).map_err(fault)?;
    let clock = Instant::now();
    let now = || clock.elapsed().as_nanos() as u64;
    progress.show("writing the file");
    scratch.fill(options.file_bytes, signal).map_err(fault)?;
    let prefill_nanos = now();

    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let mut measure = Measure::new()?;
    let begin = now() + nanos(options.warm_up);
    measure.schedule(begin, begin + nanos(options.duration));
    let mut bytes: Vec<u8> = (0..options.bytes).map(|at| at as u8).collect();
    let mut at = 0;
    let mut shown = Instant::now();
    while measure.window != Window::After {
        if signal.load(Ordering::Relaxed) != 0 {
            return Err(Fault::Stopped);
        }
        // Never the bytes that are there.
        bytes[0] = bytes[0].wrapping_add(1);
        let start = now();
        scratch.file.write_all_at(&bytes, at).map_err(fault)?;
        scratch.file.sync_data().map_err(fault)?;
        let end = now();
        measure.sent += u64::from(options.bytes);
        measure.tick(end);
        measure.recorder.open_run(end);
        measure.recorder.record(start, false);
        measure.recorder.close_run();
        at += u64::from(options.bytes);
        if at + u64::from(options.bytes) > options.file_bytes {
            at = 0;
        }
        if shown.elapsed() > PROGRESS_INTERVAL {
            shown = Instant::now();
            let left = measure.end().saturating_sub(end) / 1_000_000_000;
            progress.show(&format!("writing and syncing; {left} s left"));
        }
    }
    progress.clear();
    let file = options.file.display().to_string();
    Ok(Summary {
        measure,
        unsent: 0,
        read_back: 0,
        prefill_nanos,
        handovers: Vec::new(),
        facts: Some(Facts::Disk { name: "disk", file }),
    })
}

/// A line in place on a terminal; elsewhere a run this short says nothing.
struct Progress {
    is_live: bool,
}

impl Progress {
    fn new(is_quiet: bool) -> Self {
        let is_live = !is_quiet && stderr().is_terminal();
        Self { is_live }
    }

    fn show(&self, text: &str) {
        if self.is_live {
            // Nobody may be reading; the run goes on.
            let _ = write!(stderr(), "\r\x1b[K{text}");
        }
    }

    fn clear(&self) {
        self.show("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str) -> DiskOptions {
        let name = format!("rondo-load-{name}-{}", std::process::id());
        DiskOptions {
            file: std::env::temp_dir().join(name),
            bytes: 100,
            file_bytes: 250,
            duration: 0.05,
            warm_up: 0.0,
            json: true,
            quiet: true,
        }
    }

    #[test]
    fn writes_are_counted_and_the_file_is_removed() {
        let options = options("disk");
        let summary = run(&options, &AtomicUsize::new(0)).expect("a disk");
        assert!(summary.measure.recorder.writes > 0);
        assert!(!options.file.exists());
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let options = options("kept");
        fs::write(&options.file, "mine").expect("writable");
        let fault = run(&options, &AtomicUsize::new(0)).err().expect("refused");
        assert!(fault.to_string().contains("exists"), "{fault}");
        assert_eq!(fs::read(&options.file).expect("there"), b"mine");
        fs::remove_file(&options.file).expect("removable");
    }

    #[test]
    fn a_signal_ends_it_and_removes_the_file() {
        let options = options("signal");
        let outcome = run(&options, &AtomicUsize::new(2));
        assert!(matches!(outcome, Err(Fault::Stopped)));
        assert!(!options.file.exists());
    }
}
