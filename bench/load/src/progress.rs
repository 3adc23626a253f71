//! The progress line on standard error: rewritten in place on a terminal, a plain line now and then
//! elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::plan::Plan;
use crate::report::grouped;

const LIVE_INTERVAL: Duration = Duration::from_millis(500);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
/// After a wish for figures, threads need a look at their flags to fulfil it.
const ASK_AHEAD: Duration = Duration::from_millis(150);

pub struct ProgressLine {
    is_quiet: bool,
    is_live: bool,
    has_asked: bool,
    shown_at: Instant,
    answers: u64,
    histogram: Option<Histogram<u64>>,
}

impl ProgressLine {
    pub fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            is_live: stderr().is_terminal(),
            has_asked: false,
            shown_at: Instant::now(),
            answers: 0,
            histogram: None,
        }
    }

    /// Shows where the run is, when it is time to.
    pub fn update(&mut self, plan: &Plan) {
        let interval = if self.is_live {
            LIVE_INTERVAL
        } else {
            PLAIN_INTERVAL
        };
        let elapsed = self.shown_at.elapsed();
        if self.is_quiet || elapsed + ASK_AHEAD < interval {
            return;
        }
        if !self.has_asked {
            self.has_asked = true;
            plan.shared.progress_wanted.fetch_add(1, Ordering::Relaxed);
        }
        if elapsed < interval {
            return;
        }
        self.shown_at = Instant::now();
        self.has_asked = false;
        let text = self.text(plan, elapsed);
        let (before, after) = if self.is_live {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        // Nobody may be reading; the run goes on.
        let _ = write!(stderr(), "{before}{text}{after}");
    }

    /// Makes place for what is printed next.
    pub fn clear(&self) {
        if self.is_live && !self.is_quiet {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn text(&mut self, plan: &Plan, elapsed: Duration) -> String {
        let threads = &plan.shared.progress;
        let open: usize = threads
            .iter()
            .map(|one| one.open.load(Ordering::Relaxed))
            .sum();
        let answers: u64 = threads
            .iter()
            .map(|one| one.answers.load(Ordering::Relaxed))
            .sum();
        let rate = (answers - self.answers) as f64 / elapsed.as_secs_f64();
        self.answers = answers;
        let p99 = self
            .p99(plan)
            .map_or(String::new(), |p99| format!(", p99 {} µs", grouped(p99)));
        let rate = grouped(rate as u64);

        let start = plan.shared.start.load(Ordering::Relaxed);
        if start == 0 {
            if open < plan.connections as usize {
                return format!("connecting: {open} of {}", plan.connections);
            }
            let keys = u64::from(plan.workload.keys);
            let share = answers * 100 / keys.max(1);
            return format!("filling in: {share} % of {} keys, {rate}/s", grouped(keys));
        }
        let into = plan.clock.now().saturating_sub(start);
        let (phase, at, whole) = if into < plan.warm_up {
            ("warming up", into, plan.warm_up)
        } else {
            ("measuring", into - plan.warm_up, plan.duration)
        };
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        format!(
            "{phase} {:.1} of {:.1} s: {rate} operations/s{p99}",
            seconds(at.min(whole)),
            seconds(whole)
        )
    }

    /// Of what was recorded since the line before.
    fn p99(&mut self, plan: &Plan) -> Option<u64> {
        let mut total: Option<Histogram<u64>> = None;
        for thread in &plan.shared.progress {
            let shown = thread.histogram.lock().ok()?;
            match (&mut total, shown.as_ref()) {
                (Some(total), Some(shown)) => total.add(shown).ok()?,
                (total, Some(shown)) => *total = Some(shown.clone()),
                (_, None) => {}
            }
        }
        let total = total?;
        let mut recent = total.clone();
        // The window's beginning empties histograms, and then there is nothing to take away.
        if let Some(before) = self.histogram.replace(total)
            && recent.subtract(before).is_err()
        {
            return None;
        }
        (!recent.is_empty()).then(|| recent.value_at_quantile(0.99))
    }
}
