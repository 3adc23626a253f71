//! Operations in flight of one connection, in a ring that ids index. Answers may come in any order:
//! where an id's place is still taken by an older operation, the id is passed over, which the protocol
//! allows as long as ids ascend.

use crate::workload::Draw;

#[derive(Clone, Copy, Default)]
struct Slot {
    start: u64,
    id: u32,
    key: u32,
    is_read: bool,
    is_taken: bool,
}

/// An operation that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flown {
    pub start: u64,
    pub draw: Draw,
}

pub struct Flight {
    slots: Vec<Slot>,
    mask: u32,
    next_id: u32,
    count: usize,
}

impl Flight {
    /// Room for `outstanding` operations.
    pub fn new(outstanding: usize, next_id: u32) -> Self {
        let places = outstanding.next_power_of_two().max(2);
        Self {
            slots: vec![Slot::default(); places],
            mask: places as u32 - 1,
            next_id,
            count: 0,
        }
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Ids ascend within a frame: begins again at 0 where `count` of them might not.
    #[inline]
    pub fn begin_ascending(&mut self, count: usize) {
        let needed = count as u64 + self.slots.len() as u64;
        if u64::from(self.next_id) + needed > u64::from(u32::MAX) {
            self.next_id = 0;
        }
    }

    /// Takes a place for an operation and gives its id. There is room.
    #[inline]
    pub fn take(&mut self, start: u64, draw: Draw) -> u32 {
        debug_assert!(self.count < self.slots.len());
        let mut id = self.next_id;
        while self.slots[(id & self.mask) as usize].is_taken {
            id = id.wrapping_add(1);
        }
        self.slots[(id & self.mask) as usize] = Slot {
            start,
            id,
            key: draw.key,
            is_read: draw.is_read,
            is_taken: true,
        };
        self.next_id = id.wrapping_add(1);
        self.count += 1;
        id
    }

    /// The operation of an answer; none where it is not in flight.
    #[inline]
    pub fn land(&mut self, id: u32) -> Option<Flown> {
        let slot = &mut self.slots[(id & self.mask) as usize];
        if !slot.is_taken || slot.id != id {
            return None;
        }
        slot.is_taken = false;
        self.count -= 1;
        Some(Flown {
            start: slot.start,
            draw: Draw {
                key: slot.key,
                is_read: slot.is_read,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw {
        key: 9,
        is_read: true,
    };

    #[test]
    fn answers_may_come_in_any_order() {
        let mut flight = Flight::new(4, 0);
        let ids: Vec<u32> = (0..4).map(|start| flight.take(start, DRAW)).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        // The place of 4 is that of 0, which is still under way.
        assert_eq!(flight.land(2).map(|flown| flown.start), Some(2));
        assert_eq!(flight.take(9, DRAW), 6);
        assert_eq!(flight.land(0).map(|flown| flown.start), Some(0));
        assert_eq!(flight.take(10, DRAW), 8);
        assert_eq!(flight.count(), 4);
    }

    #[test]
    fn an_unknown_or_second_answer_is_none() {
        let mut flight = Flight::new(4, 0);
        let id = flight.take(1, DRAW);
        assert_eq!(flight.land(id + 4), None);
        assert_eq!(
            flight.land(id),
            Some(Flown {
                start: 1,
                draw: DRAW
            })
        );
        assert_eq!(flight.land(id), None);
        assert_eq!(flight.count(), 0);
    }

    #[test]
    fn ids_ascend_within_a_frame_also_where_they_wrap() {
        let mut flight = Flight::new(8, u32::MAX - 10);
        let mut before = Vec::new();
        for _ in 0..10 {
            flight.begin_ascending(4);
            let ids: Vec<u32> = (0..4).map(|_| flight.take(0, DRAW)).collect();
            assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            for id in before.drain(..) {
                assert!(flight.land(id).is_some());
            }
            before = ids;
        }
    }
}
