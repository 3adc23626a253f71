//! What ends at a time: sessions, leases of holds, waits. Heaps by time and then by the order in which
//! deadlines were set. A deadline that moves later leaves its place in its heap: it is looked up anew
//! when its turn comes and set again, so that a sign of life of a session costs nothing here.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Session = 0,
    Hold = 1,
    Wait = 2,
}

pub const TARGETS: [Target; 3] = [Target::Session, Target::Hold, Target::Wait];

/// `place` and `serial` tell what ends; a place that has another serial by now has been used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub at: u64,
    pub sequence: u64,
    pub target: Target,
    pub place: u32,
    pub serial: u64,
}

impl Ord for Deadline {
    /// Reversed, since a heap has its greatest item on top.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What has become of a deadline since it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    Stands,
    Moved,
    Gone,
}

/// A heap that is smaller than this is not cleared of deadlines whose things are gone.
const CLEARED_FROM: usize = 1024;

/// A heap for each target, all under one sequence.
#[derive(Default)]
pub struct Deadlines {
    sequence: u64,
    heaps: [BinaryHeap<Deadline>; 3],
    /// How many deadlines of a target were left when it was cleared last.
    left: [usize; 3],
}

impl Deadlines {
    /// The sequence of the deadline, which is above 0.
    pub fn set(&mut self, at: u64, target: Target, place: u32, serial: u64) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        self.heaps[target as usize].push(Deadline {
            at,
            sequence,
            target,
            place,
            serial,
        });
        sequence
    }

    /// When the first deadline of any target is, moved or not; u64::MAX: there is none.
    pub fn first_at(&self) -> u64 {
        let firsts = self.heaps.iter().filter_map(BinaryHeap::peek);
        firsts.map(|first| first.at).min().unwrap_or(u64::MAX)
    }

    /// Whether a heap has grown to twice what it was after it was cleared last: time to clear it again, since
    /// what ends early leaves its deadline behind.
    #[inline]
    pub fn is_crowded(&self, target: Target) -> bool {
        let at = target as usize;
        self.heaps[at].len() >= (2 * self.left[at]).max(CLEARED_FROM)
    }

    /// Takes the deadlines of a target out, to be put back as far as they are still of use.
    pub fn take(&mut self, target: Target) -> Vec<Deadline> {
        std::mem::take(&mut self.heaps[target as usize]).into_vec()
    }

    pub fn put_back(&mut self, target: Target, mut deadlines: Vec<Deadline>) {
        deadlines.shrink_to(2 * deadlines.len());
        self.left[target as usize] = deadlines.len();
        self.heaps[target as usize] = deadlines.into();
    }

    /// The first deadline of a target, where that is at `now` or before.
    #[inline]
    pub fn peek(&self, target: Target, now: u64) -> Option<Deadline> {
        let first = self.heaps[target as usize].peek()?;
        (first.at <= now).then_some(*first)
    }

    /// Drops the first deadline of a target.
    pub fn drop_first(&mut self, target: Target) {
        self.heaps[target as usize].pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is due of all targets, each deadline as it stands.
    fn due(deadlines: &mut Deadlines, now: u64) -> Vec<u32> {
        let mut places = Vec::new();
        loop {
            let firsts = TARGETS.map(|target| deadlines.peek(target, now));
            let Some(first) = firsts.into_iter().flatten().max() else {
                return places;
            };
            deadlines.drop_first(first.target);
            places.push(first.place);
        }
    }

    #[test]
    fn come_by_time_and_then_as_they_were_set() {
        let mut deadlines = Deadlines::default();
        deadlines.set(30, Target::Session, 0, 1);
        deadlines.set(20, Target::Wait, 1, 2);
        deadlines.set(30, Target::Wait, 2, 3);
        deadlines.set(20, Target::Hold, 3, 4);
        deadlines.set(31, Target::Hold, 4, 5);
        assert_eq!(due(&mut deadlines, 19), []);
        assert_eq!(due(&mut deadlines, 30), [1, 3, 0, 2]);
        assert_eq!(due(&mut deadlines, 31), [4]);
    }
}
