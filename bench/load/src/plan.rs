//! What every thread of a run knows: the options as the hot path needs them, and what threads and the
//! main thread tell each other.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::fault::Fault;
use crate::limits::{PREFILL_BATCH_BYTES, PREFILL_BATCH_OPERATIONS};
use crate::option_values::Keys;
use crate::options::{Arrivals, Options};
use crate::places::Places;
use crate::workload::Workload;

/// Nanoseconds since the process began.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    #[inline]
    pub fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

pub struct Plan {
    pub clock: Clock,
    pub places: Places,
    pub connections: u32,
    pub threads: usize,
    pub outstanding: usize,
    pub batch: Option<usize>,
    pub workload: Workload,
    pub seed: u64,
    pub rate: Option<f64>,
    pub arrivals: Arrivals,
    pub prefill: bool,
    /// Operations in flight on one connection while keys are filled in.
    pub prefill_outstanding: usize,
    pub verify: bool,
    pub allow_missing: bool,
    /// Keys to read again after the run, over all connections.
    pub read_back: u32,
    /// Nanoseconds.
    pub warm_up: u64,
    pub duration: u64,
    pub timeout: u64,
    pub shared: Shared,
}

impl Plan {
    /// `edition` marks the values that this run writes.
    pub fn new(options: &Options, edition: u32, stop: Arc<AtomicBool>) -> Result<Self, Fault> {
        let theta = match options.distribution {
            Keys::Uniform => None,
            Keys::Zipf(theta) => Some(theta),
        };
        let value_bytes = options.value_bytes as usize;
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        let address = options.address();
        Ok(Self {
            clock: Clock(Instant::now()),
            places: Places::any(resolve(address)?),
            connections: options.connections,
            threads: options.threads as usize,
            outstanding: options.outstanding(),
            batch: options.batch(),
            workload: Workload::new(
                options.keys,
                options.read_ratio,
                theta,
                value_bytes,
                edition,
            ),
            seed: options.seed,
            rate: options.rate,
            arrivals: options.arrivals,
            prefill: options.prefill,
            prefill_outstanding: if options.prefill {
                2 * PREFILL_BATCH_OPERATIONS
            } else {
                0
            },
            verify: options.verify,
            allow_missing: options.allow_missing,
            read_back: options.read_back(),
            warm_up: nanos(options.warm_up),
            duration: nanos(options.duration),
            timeout: nanos(options.timeout),
            shared: Shared::new(options.threads as usize, stop),
        })
    }

    pub fn prefill_batch(&self, operation_bytes: usize) -> usize {
        let bytes = operation_bytes + self.workload.values.bytes;
        (PREFILL_BATCH_BYTES / bytes).clamp(1, PREFILL_BATCH_OPERATIONS)
    }

    /// Connections of a thread, as numbers over all threads.
    pub fn connections_of(&self, thread: usize) -> std::ops::Range<usize> {
        let at = |thread: usize| self.connections as usize * thread / self.threads;
        at(thread)..at(thread + 1)
    }
}

pub fn resolve(address: &str) -> Result<SocketAddr, Fault> {
    let fault = |cause| Fault::Address {
        address: address.to_owned(),
        cause,
    };
    let mut found = address.to_socket_addrs().map_err(fault)?;
    found
        .next()
        .ok_or_else(|| fault(std::io::ErrorKind::NotFound.into()))
}

pub struct Shared {
    /// Ends every thread at its next look.
    pub stop: Arc<AtomicBool>,
    /// Threads whose connections are open and whose keys are filled in.
    pub ready: AtomicUsize,
    /// When the run begins; 0 until every thread is ready.
    pub start: AtomicU64,
    /// Raised when the main thread wants new figures to show.
    pub progress_wanted: AtomicU64,
    pub progress: Vec<Progress>,
}

/// What one thread shows of itself.
#[derive(Default)]
pub struct Progress {
    pub open: AtomicUsize,
    pub answers: AtomicU64,
    pub histogram: Mutex<Option<Histogram<u64>>>,
}

impl Shared {
    fn new(threads: usize, stop: Arc<AtomicBool>) -> Self {
        Self {
            stop,
            ready: AtomicUsize::new(0),
            start: AtomicU64::new(0),
            progress_wanted: AtomicU64::new(0),
            progress: (0..threads).map(|_| Progress::default()).collect(),
        }
    }
}
