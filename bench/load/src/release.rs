//! How long a lock takes from one holder to the next: from the moment that the release is written out to
//! the moment that the next grant has come in, both in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Clock;
use crate::protocol::Handover;

/// When a lock was last released; 0: not yet.
#[derive(Clone)]
pub struct Release {
    at: Arc<AtomicU64>,
    clock: Clock,
}

impl Release {
    pub fn new(clock: Clock) -> Self {
        Self {
            at: Arc::default(),
            clock,
        }
    }
}

/// What one connection sees of a lock.
pub struct Taken {
    release: Release,
    handovers: Vec<Handover>,
}

impl Taken {
    pub fn new(release: Release) -> Self {
        Self {
            release,
            handovers: Vec::new(),
        }
    }

    pub fn granted(&mut self) {
        let at = self.release.clock.now();
        let released = self.release.at.load(Ordering::Relaxed);
        if released > 0 {
            let took = at.saturating_sub(released);
            self.handovers.push(Handover { at, took });
        }
    }

    pub fn released(&mut self) {
        let now = self.release.clock.now();
        self.release.at.store(now, Ordering::Relaxed);
    }

    pub fn handovers(&self) -> &[Handover] {
        &self.handovers
    }
}
