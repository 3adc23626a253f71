//! Tests of `deadlock`.

use std::collections::HashSet;

use super::*;
use crate::holds::{Grant, Request};
use crate::key_hash::Hashing;
use crate::layout::LOCK_SHARED;
use proptest::prelude::*;

struct World {
    sessions: Sessions,
    locks: Locks,
    /// Of locks, by their number.
    places: Vec<u32>,
    id: u32,
    notes: Notes,
}

impl World {
    /// Sessions 1 to `sessions` in the places 0 and up.
    fn new(sessions: u64) -> Self {
        let hashing = Hashing::new(7);
        let mut world = Self {
            sessions: Sessions::new(hashing),
            locks: Locks::new(hashing),
            places: Vec::new(),
            id: 0,
            notes: Notes::default(),
        };
        for id in 1..=sessions {
            world.sessions.add(id, 1_000, &[], 0);
        }
        world
    }

    fn lock(&mut self, number: usize) -> u32 {
        while self.places.len() <= number {
            let name = format!("lock-{}", self.places.len());
            let place = self.locks.find_or_add(name.as_bytes(), 0);
            self.places.push(place);
        }
        self.places[number]
    }

    // Sessions are numbered from 0 in what follows, and their places from 1.

    fn hold(&mut self, session: u32, lock: usize, mode: u8) {
        let session = session + 1;
        let lock = self.lock(lock);
        self.id += 1;
        let owner = &mut self.sessions.slab[session];
        let grant = Grant {
            session: owner.id,
            since: 0,
            lease: 0,
            id: self.id,
            depth: 1,
            mode,
        };
        self.locks
            .add_hold(lock, self.id.into(), grant, session, &mut owner.holds);
    }

    fn wait(&mut self, session: u32, lock: usize, mode: u8) {
        let session = session + 1;
        let lock = self.lock(lock);
        self.id += 1;
        let request = Request {
            id: self.id,
            mode,
            permits: 1,
            lease_ms: 0,
            upgrades: 0,
        };
        let owner = &mut self.sessions.slab[session];
        self.locks
            .add_wait(lock, request, session, owner.id, (0, 0), &mut owner.waits);
    }

    fn cycle(&mut self, session: u32, lock: usize, mode: u8) -> Option<String> {
        let session = session + 1;
        let asker = Asker {
            place: session,
            lock: self.lock(lock),
            mode,
            is_upgrade: false,
        };
        let text = find_cycle(&self.sessions, &self.locks, &mut self.notes, asker)?;
        Some(String::from_utf8(text).unwrap())
    }

    /// The search as the contract has it, without what makes it quick.
    fn plain_cycle(&mut self, session: u32, lock: usize, mode: u8) -> bool {
        let session = session + 1;
        let lock = self.lock(lock);
        let mut entered = HashSet::new();
        let mut next = self.blockers(session, lock, mode, NONE);
        while let Some((blocker, at)) = next.pop() {
            if blocker == session && at != lock {
                return true;
            }
            if blocker == session {
                continue;
            }
            if !entered.insert(blocker) {
                continue;
            }
            let mut wait = self.sessions.slab[blocker].waits.first;
            while wait != NONE {
                let at = self.locks.waits[wait];
                next.extend(self.blockers(blocker, at.lock, at.request.mode, wait));
                wait = at.next_in_session();
            }
        }
        false
    }

    /// Those that a wait waits for, each with its lock.
    fn blockers(&self, session: u32, lock: u32, mode: u8, until: u32) -> Vec<(u32, u32)> {
        let mut blockers = Vec::new();
        let mut hold = self.locks.get(lock).holds.first;
        while hold != NONE {
            let at = &self.locks.holds[hold];
            if at.owner != session && !fit_beside(mode, at.grant.mode) {
                blockers.push((at.owner, lock));
            }
            hold = at.next_in_lock();
        }
        let mut wait = self.locks.get(lock).waits.first;
        while wait != NONE && wait != until {
            let at = &self.locks.waits[wait];
            if at.owner != session && !fit_beside(mode, at.request.mode) {
                blockers.push((at.owner, lock));
            }
            wait = at.next_in_lock();
        }
        blockers
    }
}

#[test]
fn names_the_cycle() {
    let mut world = World::new(3);
    world.hold(0, 0, LOCK_EXCLUSIVE);
    world.hold(1, 1, LOCK_EXCLUSIVE);
    world.wait(1, 0, LOCK_SHARED);
    world.wait(2, 0, LOCK_EXCLUSIVE);
    assert_eq!(world.cycle(2, 1, LOCK_SHARED).as_deref(), None);
    assert_eq!(
        world.cycle(0, 1, LOCK_EXCLUSIVE).as_deref(),
        Some(
            "00000000000001 waits for \"lock-1\" held by 00000000000002\n\
             00000000000002 waits for \"lock-0\" held by 00000000000001"
        )
    );
}

#[test]
fn a_place_behind_another_counts() {
    let mut world = World::new(3);
    world.hold(2, 0, LOCK_SHARED);
    world.hold(0, 1, LOCK_EXCLUSIVE);
    world.wait(0, 0, LOCK_EXCLUSIVE);
    world.wait(1, 1, LOCK_EXCLUSIVE);
    // 3 waits behind 1, which waits for what 3 holds.
    assert_eq!(
        world.cycle(2, 1, LOCK_EXCLUSIVE).as_deref(),
        Some(
            "00000000000003 waits for \"lock-1\" held by 00000000000001\n\
             00000000000001 waits for \"lock-0\" held by 00000000000003"
        )
    );
    // Where it holds the very lock that it asks for, the others wait for another task of it.
    assert_eq!(world.cycle(2, 0, LOCK_SHARED), None);
}

#[test]
fn a_long_cycle_is_cut() {
    let sessions = DEADLOCK_STEPS_SHOWN_MAX as u32 + 4;
    let mut world = World::new(sessions.into());
    for session in 0..sessions {
        world.hold(session, session as usize, LOCK_EXCLUSIVE);
    }
    for session in 1..sessions {
        world.wait(
            session,
            (session as usize + 1) % sessions as usize,
            LOCK_EXCLUSIVE,
        );
    }
    let text = world.cycle(0, 1, LOCK_EXCLUSIVE).unwrap();
    assert_eq!(text.lines().count(), DEADLOCK_STEPS_SHOWN_MAX + 1);
    assert!(text.ends_with("\n..."));
}

#[test]
fn a_long_queue_costs_no_square() {
    let waiters = 4_000;
    let mut world = World::new(waiters + 3);
    world.hold(0, 0, LOCK_EXCLUSIVE);
    for session in 1..=waiters as u32 {
        world.wait(session, 0, LOCK_EXCLUSIVE);
    }
    let asker = waiters as u32 + 1;
    // Somebody waits for the asker, so that the search is made.
    world.hold(asker, 1, LOCK_EXCLUSIVE);
    world.wait(asker + 1, 1, LOCK_EXCLUSIVE);
    let begin = std::time::Instant::now();
    for _ in 0..1000 {
        assert_eq!(world.cycle(asker, 0, LOCK_EXCLUSIVE), None);
    }
    // Eight million looks a search, were it the square of the queue.
    assert!(begin.elapsed().as_secs() < 20);
}

proptest! {
    #[test]
    fn finds_what_the_plain_search_finds(
        holds in prop::collection::vec((0_u32..6, 0_usize..5, any::<bool>()), 0..8),
        waits in prop::collection::vec((0_u32..6, 0_usize..5, any::<bool>()), 0..14),
        asks in prop::collection::vec((0_u32..6, 0_usize..5, any::<bool>()), 1..6),
    ) {
        let mode = |shared| if shared { LOCK_SHARED } else { LOCK_EXCLUSIVE };
        let mut world = World::new(6);
        for (session, lock, shared) in holds {
            world.hold(session, lock, mode(shared));
        }
        for (session, lock, shared) in waits {
            world.wait(session, lock, mode(shared));
        }
        for (session, lock, shared) in asks {
            let found = world.cycle(session, lock, mode(shared)).is_some();
            let owner = &world.sessions.slab[session + 1];
            let is_made = !owner.holds.is_empty() || !owner.waits.is_empty();
            let plain = world.plain_cycle(session, lock, mode(shared));
            prop_assert_eq!(found, plain && is_made);
        }
    }
}
