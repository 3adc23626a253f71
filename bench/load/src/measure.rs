//! The measured window of one thread: what it counts begins and ends at the same two moments as in
//! every other thread.

use rustix::time::{ClockId, clock_gettime};

use crate::fault::Fault;
use crate::recorder::Recorder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Before,
    Within,
    After,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    sent: u64,
    received: u64,
    cpu: u64,
}

pub struct Measure {
    pub recorder: Recorder,
    pub window: Window,
    /// Bytes since the connections were opened.
    pub sent: u64,
    pub received: u64,
    /// When the window begins, and then when it ends.
    boundary: u64,
    end: u64,
    at_begin: Counts,
    at_end: Counts,
}

impl Measure {
    pub fn new() -> Result<Self, Fault> {
        Ok(Self {
            recorder: Recorder::new()?,
            window: Window::Before,
            sent: 0,
            received: 0,
            boundary: u64::MAX,
            end: u64::MAX,
            at_begin: Counts::default(),
            at_end: Counts::default(),
        })
    }

    pub fn schedule(&mut self, begin: u64, end: u64) {
        self.boundary = begin;
        self.end = end;
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Time goes on.
    #[inline]
    pub fn tick(&mut self, now: u64) {
        if now >= self.boundary {
            self.cross(now);
        }
    }

    #[cold]
    fn cross(&mut self, now: u64) {
        if self.window == Window::Before {
            self.window = Window::Within;
            self.recorder.begin_window(self.boundary);
            self.boundary = self.end;
            self.at_begin = self.counts();
        }
        if now >= self.end {
            self.window = Window::After;
            self.recorder.end_window();
            self.boundary = u64::MAX;
            self.at_end = self.counts();
        }
    }

    fn counts(&self) -> Counts {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        Counts {
            sent: self.sent,
            received: self.received,
            cpu: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64,
        }
    }

    pub fn sent_within(&self) -> u64 {
        self.at_end.sent - self.at_begin.sent
    }

    pub fn received_within(&self) -> u64 {
        self.at_end.received - self.at_begin.received
    }

    /// Nanoseconds of this thread's processor time.
    pub fn cpu_within(&self) -> u64 {
        self.at_end.cpu - self.at_begin.cpu
    }
}
