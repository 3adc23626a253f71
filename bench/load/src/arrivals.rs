//! When the operations of an open loop are due: a schedule that the server can't slow down.

use crate::options::Arrivals;
use crate::random::Random;

pub struct Schedule {
    arrivals: Arrivals,
    random: Random,
    /// Nanoseconds between two arrivals of this thread, on average.
    interval: f64,
    start: u64,
    /// Nanoseconds after the start.
    next: f64,
}

impl Schedule {
    /// `share` of `rate` arrivals a second, the first after `offset` nanoseconds.
    pub fn new(arrivals: Arrivals, random: Random, rate: f64, share: f64, offset: f64) -> Self {
        let mut schedule = Self {
            arrivals,
            random,
            interval: 1e9 / (rate * share),
            start: 0,
            next: offset,
        };
        if arrivals == Arrivals::Poisson {
            schedule.next = 0.0;
            schedule.advance();
        }
        schedule
    }

    pub fn start(&mut self, start: u64) {
        self.start = start;
    }

    /// When the next operation is due.
    #[inline]
    pub fn next(&self) -> u64 {
        self.start + self.next as u64
    }

    #[inline]
    pub fn advance(&mut self) {
        self.next += match self.arrivals {
            Arrivals::Even => self.interval,
            Arrivals::Poisson => -(1.0 - self.random.fraction()).ln() * self.interval,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(arrivals: Arrivals) -> Vec<f64> {
        let mut schedule = Schedule::new(arrivals, Random::new(3, 0), 1000.0, 0.5, 0.0);
        schedule.start(5_000_000);
        let times: Vec<u64> = (0..20_000)
            .map(|_| {
                let next = schedule.next();
                schedule.advance();
                next
            })
            .collect();
        times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect()
    }

    #[test]
    fn even_arrivals_are_the_same_time_apart() {
        assert!(
            gaps(Arrivals::Even)
                .iter()
                .all(|gap| (gap - 2_000_000.0).abs() < 2.0)
        );
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_its_spread() {
        let gaps = gaps(Arrivals::Poisson);
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 2_000_000.0 - 1.0).abs() < 0.03, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }
}
