//! What one thread measures. Latencies go into a histogram of microseconds; answers of one frame,
//! which were sent together and came together, are recorded as one entry with a count.

use hdrhistogram::Histogram;

use crate::fault::Fault;
use crate::limits::LATENCY_MICROS_MAX;

pub struct Recorder {
    pub histogram: Histogram<u64>,
    /// Answers since the start, warm-up included.
    pub answers: u64,
    /// Within the measured window.
    pub reads: u64,
    pub writes: u64,
    pub misses: u64,
    /// Nanoseconds: operations that were due before are warm-up and leave no latency.
    from: u64,
    is_within: bool,
    now: u64,
    run_start: u64,
    run_count: u64,
}

pub fn new_histogram() -> Result<Histogram<u64>, Fault> {
    Histogram::new_with_max(LATENCY_MICROS_MAX, 3)
        .map_err(|error| Fault::Internal(error.to_string()))
}

impl Recorder {
    pub fn new() -> Result<Self, Fault> {
        Ok(Self {
            histogram: new_histogram()?,
            answers: 0,
            reads: 0,
            writes: 0,
            misses: 0,
            from: 0,
            is_within: false,
            now: 0,
            run_start: 0,
            run_count: 0,
        })
    }

    /// The measured window begins: forgets the warm-up.
    pub fn begin_window(&mut self, from: u64) {
        self.close_run();
        self.histogram.reset();
        self.from = from;
        self.is_within = true;
    }

    pub fn end_window(&mut self) {
        self.close_run();
        self.is_within = false;
    }

    /// What starts from now on is no part of the measurement.
    pub fn end_latencies(&mut self) {
        self.close_run();
        self.from = u64::MAX;
    }

    /// The answers that follow were received at `now`. Ends with `close_run`.
    #[inline]
    pub fn open_run(&mut self, now: u64) {
        self.now = now;
        self.run_count = 0;
    }

    #[inline]
    pub fn record(&mut self, start: u64, is_read: bool) {
        if start != self.run_start {
            self.close_run();
            self.run_start = start;
        }
        self.run_count += 1;
        let counts = u64::from(self.is_within);
        self.reads += counts & u64::from(is_read);
        self.writes += counts & u64::from(!is_read);
    }

    #[inline]
    pub fn record_missing(&mut self, start: u64) {
        self.misses += u64::from(self.is_within);
        self.record(start, true);
    }

    #[inline]
    pub fn close_run(&mut self) {
        if self.run_count == 0 {
            return;
        }
        self.answers += self.run_count;
        if self.run_start >= self.from {
            let micros = (self.now.saturating_sub(self.run_start) + 500) / 1000;
            self.histogram.saturating_record_n(micros, self.run_count);
        }
        self.run_count = 0;
    }

    /// An operation that was due at `start` and had not even been sent at `now`.
    pub fn record_unsent(&mut self, start: u64, now: u64) {
        if start >= self.from {
            let micros = (now.saturating_sub(start) + 500) / 1000;
            self.histogram.saturating_record(micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_frame_are_one_entry_each() {
        let mut recorder = Recorder::new().expect("histogram");
        recorder.begin_window(1_000_000);
        recorder.open_run(3_000_000);
        for start in [500_000, 1_000_000, 1_000_000, 2_000_000] {
            recorder.record(start, start == 2_000_000);
        }
        recorder.close_run();
        assert_eq!(recorder.answers, 4);
        assert_eq!((recorder.reads, recorder.writes), (1, 3));
        // The one that was due before the window leaves no latency.
        assert_eq!(recorder.histogram.len(), 3);
        assert_eq!(recorder.histogram.count_at(2000), 2);
        assert_eq!(recorder.histogram.count_at(1000), 1);
    }

    #[test]
    fn the_warm_up_is_forgotten_and_the_rest_not_counted() {
        let mut recorder = Recorder::new().expect("histogram");
        recorder.open_run(10_000);
        recorder.record(1000, true);
        recorder.close_run();
        assert_eq!(recorder.histogram.len(), 1);
        recorder.begin_window(20_000);
        assert_eq!(recorder.histogram.len(), 0);
        recorder.end_window();
        recorder.open_run(40_000);
        recorder.record(30_000, true);
        recorder.close_run();
        assert_eq!((recorder.reads, recorder.histogram.len()), (0, 1));
        recorder.end_latencies();
        recorder.open_run(60_000);
        recorder.record(50_000, true);
        recorder.close_run();
        assert_eq!(recorder.histogram.len(), 1);
    }
}
