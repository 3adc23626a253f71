//! Tests of `locks`.

use super::*;
use crate::layout::LOCK_EXCLUSIVE;

const SESSION: u64 = 5;

struct World {
    locks: Locks,
    holds: List,
    waits: List,
}

impl World {
    fn new() -> Self {
        Self {
            locks: Locks::new(Hashing::new(3)),
            holds: List::default(),
            waits: List::default(),
        }
    }

    fn hold(&mut self, lock: u32, token: u64, mode: u8) -> u32 {
        let grant = Grant {
            session: SESSION,
            since: 1,
            lease: 0,
            id: token as u32,
            depth: 1,
            mode,
        };
        self.locks.add_hold(lock, token, grant, 0, &mut self.holds)
    }

    fn wait(&mut self, lock: u32, request: Request) -> u32 {
        self.locks
            .add_wait(lock, request, 0, SESSION, (1, 0), &mut self.waits)
    }
}

fn request(id: u32, mode: u8) -> Request {
    Request {
        id,
        mode,
        permits: 2,
        lease_ms: 0,
        upgrades: 0,
    }
}

fn fitting(world: &World, lock: u32) -> Vec<u8> {
    (0..3)
        .filter(|&mode| world.locks.fits(lock, &request(9, mode)))
        .collect()
}

#[test]
fn modes_fit_as_they_should() {
    let mut world = World::new();
    let lock = world.locks.find_or_add(b"a", 3);
    assert_eq!(fitting(&world, lock), [0, 1, 2]);
    let hold = world.hold(lock, 1, LOCK_SHARED);
    assert_eq!(fitting(&world, lock), [LOCK_SHARED]);
    world.locks.change_hold(hold, 1, LOCK_EXCLUSIVE, 0);
    assert_eq!(fitting(&world, lock), []);
    world.locks.change_hold(hold, 1, LOCK_PERMIT, 0);
    assert_eq!(fitting(&world, lock), [LOCK_PERMIT]);
    world.hold(lock, 2, LOCK_PERMIT);
    assert_eq!(fitting(&world, lock), []);
    world.locks.remove_hold(hold, &mut world.holds);
    assert_eq!(fitting(&world, lock), [LOCK_PERMIT]);
}

#[test]
fn an_upgrade_fits_beside_its_own_hold_alone() {
    let mut world = World::new();
    let lock = world.locks.find_or_add(b"a", 0);
    world.hold(lock, 1, LOCK_SHARED);
    let other = world.hold(lock, 2, LOCK_SHARED);
    let upgrade = Request {
        upgrades: 1,
        ..request(9, LOCK_EXCLUSIVE)
    };
    assert!(!world.locks.fits(lock, &upgrade));
    world.locks.remove_hold(other, &mut world.holds);
    assert!(world.locks.fits(lock, &upgrade));
}

#[test]
fn an_upgrade_waits_before_all_others() {
    let mut world = World::new();
    let lock = world.locks.find_or_add(b"a", 0);
    let first = world.wait(lock, request(1, LOCK_EXCLUSIVE));
    let second = world.wait(lock, request(2, LOCK_SHARED));
    let upgrade = Request {
        upgrades: 1,
        ..request(3, LOCK_EXCLUSIVE)
    };
    let third = world.wait(lock, upgrade);
    let waits = world.locks.get(lock).waits;
    assert_eq!((waits.first, waits.last, waits.count), (third, second, 3));
    let orders = [third, first, second].map(|place| world.locks.waits[place].order);
    assert!(orders.is_sorted());
    world.locks.remove_wait(first, SESSION, &mut world.waits);
    assert_eq!(world.locks.waits[third].next_in_lock(), second);
    assert_eq!(world.locks.wait_of_request(lock, 0, SESSION, 1), NONE);
    assert_eq!(world.locks.wait_of_request(lock, 0, SESSION, 2), second);
}

#[test]
fn a_lock_goes_with_its_last_hold_and_its_place_is_used_again() {
    let mut world = World::new();
    let lock = world.locks.find_or_add(b"b", 0);
    let hold = world.hold(lock, 1, LOCK_EXCLUSIVE);
    assert!(!world.locks.drop_empty(lock));
    assert_eq!(world.locks.find(b"b"), lock);
    assert_eq!(world.locks.hold_of_token(lock, 1), hold);
    assert_eq!(world.locks.hold_of_request(lock, SESSION, 1), hold);
    world.locks.remove_hold(hold, &mut world.holds);
    assert!(world.locks.drop_empty(lock));
    assert!(!world.locks.drop_empty(lock));
    assert_eq!(world.locks.find(b"b"), NONE);
    assert_eq!(world.locks.find_or_add(b"a", 0), lock);
    assert_eq!(world.locks.hold_of_token(lock, 1), NONE);
    assert_eq!(world.locks.newest_token(lock), 0);
}

#[test]
fn names_come_in_the_order_of_their_bytes() {
    let mut world = World::new();
    for name in ["b", "a", "ab", "c"] {
        world.locks.find_or_add(name.as_bytes(), 0);
    }
    let names: Vec<&[u8]> = world
        .locks
        .from(b"ab")
        .map(|lock| world.locks.name(lock))
        .collect();
    assert_eq!(names, [&b"ab"[..], b"b", b"c"]);
}

#[test]
fn the_greatest_key_is_that_of_bytes() {
    let mut world = World::new();
    assert_eq!(world.locks.greatest_hold_key(), b"");
    for (name, token) in [("a", 7), ("ab", 1), ("b", 0x0102), ("b", 3)] {
        let lock = world.locks.find_or_add(name.as_bytes(), 0);
        world.hold(lock, token, LOCK_SHARED);
    }
    assert_eq!(
        world.locks.greatest_hold_key(),
        b"b\0\0\0\0\0\0\x01\x02".to_vec()
    );
}

#[test]
fn only_a_grant_is_read_as_one() {
    let grant = Grant {
        session: SESSION,
        since: 2,
        lease: 3,
        id: 4,
        depth: 5,
        mode: LOCK_PERMIT,
    };
    let value = grant.to_value();
    assert_eq!(Grant::of_record(&value, 3), Some(grant));
    for (at, byte) in [(0, 0), (7, 0xff), (15, 0xff), (20, 0), (22, 3), (23, 1)] {
        let mut wrong = value;
        wrong[at] = byte;
        assert_eq!(Grant::of_record(&wrong, 3), None, "byte {at}");
    }
}
