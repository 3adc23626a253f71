//! The locks: what is held, who waits, and what fits. A lock is there as long as it has holds or waits.
//! Names are entries of an arena and holds and waits live in slabs, so that a lock that is taken and
//! freed over and over allocates nothing.

use crate::entries::Entries;
use crate::holds::{Grant, Hold, MODES, Request, Wait};
use crate::key_hash::Hashing;
use crate::layout::{LOCK_PERMIT, LOCK_SHARED};
use crate::ordered_index::OrderedIndex;
use crate::slab::{Link, List, NONE, Slab};
use crate::table::Table;

/// The entry of a lock that is gone; no handle is 0.
const GONE: u32 = 0;

pub struct Lock {
    /// Of its name; or GONE.
    entry: u32,
    pub partition: usize,
    /// In the order of the grants.
    pub holds: List,
    /// How many of them are of each mode.
    modes: [u32; MODES],
    pub waits: List,
    /// The order that the last wait got.
    order: u64,
    /// To be settled in a later call.
    pub is_unsettled: bool,
}

pub struct Locks {
    hashing: Hashing,
    /// Names, each with its lock's place in place of a revision.
    names: Entries,
    order: OrderedIndex,
    by_name: Table,
    slab: Slab<Lock>,
    pub holds: Slab<Hold>,
    pub waits: Slab<Wait>,
    by_token: Table,
    /// Holds and waits by lock, session and id of the operation.
    holds_by_request: Table,
    waits_by_request: Table,
    serial: u64,
}

impl Locks {
    pub fn new(hashing: Hashing) -> Self {
        Self {
            hashing,
            names: Entries::default(),
            order: OrderedIndex::default(),
            by_name: Table::default(),
            slab: Slab::default(),
            holds: Slab::default(),
            waits: Slab::default(),
            by_token: Table::default(),
            holds_by_request: Table::default(),
            waits_by_request: Table::default(),
            serial: 0,
        }
    }

    #[inline]
    pub fn get(&self, lock: u32) -> &Lock {
        &self.slab[lock]
    }

    pub fn get_mut(&mut self, lock: u32) -> &mut Lock {
        &mut self.slab[lock]
    }

    pub fn name(&self, lock: u32) -> &[u8] {
        self.names.get(self.slab[lock].entry).key()
    }

    /// The place of a lock; NONE where there is none of that name.
    pub fn find(&self, name: &[u8]) -> u32 {
        self.by_name
            .find(self.hashing.bytes(name), |entry| {
                self.names.get(entry).key() == name
            })
            .map_or(NONE, |entry| self.names.get(entry).revision() as u32)
    }

    /// The place of a lock, which is made where there is none; it has to get a hold or a wait at once.
    pub fn find_or_add(&mut self, name: &[u8], partition: usize) -> u32 {
        let found = self.find(name);
        if found != NONE {
            return found;
        }
        let entry = self.names.add(name, &[], partition);
        let place = self.slab.add(Lock {
            entry,
            partition,
            holds: List::default(),
            modes: [0; MODES],
            waits: List::default(),
            order: 0,
            is_unsettled: false,
        });
        self.names.set_revision(entry, u64::from(place));
        self.by_name.insert(self.hashing.bytes(name), entry);
        self.order.insert(&self.names, entry);
        place
    }

    /// Drops a lock that has neither holds nor waits; whether it did.
    pub fn drop_empty(&mut self, lock: u32) -> bool {
        let Lock {
            entry,
            holds,
            waits,
            ..
        } = self.slab[lock];
        if entry == GONE || !holds.is_empty() || !waits.is_empty() {
            return false;
        }
        self.slab[lock].entry = GONE;
        let hash = self.hashing.bytes(self.names.get(entry).key());
        self.by_name.remove(hash, entry);
        self.names.count -= 1;
        self.order.remove(&mut self.names, entry);
        self.slab.free(lock);
        true
    }

    /// Places of the locks whose names are `from` and after, in byte order.
    pub fn from<'a>(&'a self, from: &[u8]) -> impl Iterator<Item = u32> + 'a {
        self.order
            .from(&self.names, from)
            .map(|entry| self.names.get(entry).revision() as u32)
    }

    /// Adds a hold behind all others of its lock and of its session's `holds`.
    pub fn add_hold(
        &mut self,
        lock: u32,
        token: u64,
        grant: Grant,
        owner: u32,
        of_session: &mut List,
    ) -> u32 {
        self.serial += 1;
        let place = self.holds.add(Hold {
            grant,
            token,
            lock,
            owner,
            serial: self.serial,
            deadline: 0,
            deadline_at: 0,
            in_lock: Link::default(),
            in_session: Link::default(),
        });
        let at = &mut self.slab[lock];
        at.modes[usize::from(grant.mode)] += 1;
        at.holds
            .push_back(&mut self.holds, place, |hold| &mut hold.in_lock);
        of_session.push_back(&mut self.holds, place, |hold| &mut hold.in_session);
        self.by_token.insert(self.token_hash(lock, token), place);
        let hash = self.request_hash(lock, grant.session, grant.id);
        self.holds_by_request.insert(hash, place);
        place
    }

    /// Takes a hold out of its lock and of its session's `holds`.
    pub fn remove_hold(&mut self, place: u32, of_session: &mut List) {
        let Hold {
            lock, token, grant, ..
        } = self.holds[place];
        let hash = self.request_hash(lock, grant.session, grant.id);
        self.holds_by_request.remove(hash, place);
        self.by_token.remove(self.token_hash(lock, token), place);
        let at = &mut self.slab[lock];
        at.modes[usize::from(grant.mode)] -= 1;
        at.holds
            .remove(&mut self.holds, place, |hold| &mut hold.in_lock);
        of_session.remove(&mut self.holds, place, |hold| &mut hold.in_session);
        self.holds[place].serial = 0;
        self.holds.free(place);
    }

    /// Gives a hold another depth, mode or lease.
    pub fn change_hold(&mut self, place: u32, depth: u16, mode: u8, lease: u64) {
        let Hold { grant, lock, .. } = &mut self.holds[place];
        let modes = &mut self.slab[*lock].modes;
        modes[usize::from(grant.mode)] -= 1;
        modes[usize::from(mode)] += 1;
        grant.depth = depth;
        grant.mode = mode;
        grant.lease = lease;
    }

    /// Adds a wait behind all others, one for an upgrade in front of them.
    pub fn add_wait(
        &mut self,
        lock: u32,
        request: Request,
        owner: u32,
        session: u64,
        times: (u64, u64),
        of_session: &mut List,
    ) -> u32 {
        self.serial += 1;
        let (since, deadline) = times;
        let at = &mut self.slab[lock];
        // 0 is left to an upgrade: at most one waits.
        let order = if request.upgrades == 0 {
            at.order += 1;
            at.order
        } else {
            0
        };
        let place = self.waits.add(Wait {
            request,
            lock,
            owner,
            serial: self.serial,
            since,
            deadline,
            order,
            in_lock: Link::default(),
            in_session: Link::default(),
        });
        if request.upgrades == 0 {
            at.waits
                .push_back(&mut self.waits, place, |wait| &mut wait.in_lock);
        } else {
            at.waits
                .push_front(&mut self.waits, place, |wait| &mut wait.in_lock);
        }
        of_session.push_back(&mut self.waits, place, |wait| &mut wait.in_session);
        let hash = self.request_hash(lock, session, request.id);
        self.waits_by_request.insert(hash, place);
        place
    }

    /// Takes a wait out of its lock and of its session's `waits`.
    pub fn remove_wait(&mut self, place: u32, session: u64, of_session: &mut List) {
        let Wait { lock, request, .. } = self.waits[place];
        let hash = self.request_hash(lock, session, request.id);
        self.waits_by_request.remove(hash, place);
        self.slab[lock]
            .waits
            .remove(&mut self.waits, place, |wait| &mut wait.in_lock);
        of_session.remove(&mut self.waits, place, |wait| &mut wait.in_session);
        self.waits[place].serial = 0;
        self.waits.free(place);
    }

    /// The next one of the holds of a session.
    pub fn next_hold_of_session(&self, place: u32) -> u32 {
        self.holds[place].in_session.next
    }

    /// The hold of a token; NONE where there is none.
    pub fn hold_of_token(&self, lock: u32, token: u64) -> u32 {
        self.by_token
            .find(self.token_hash(lock, token), |place| {
                let hold = &self.holds[place];
                hold.token == token && hold.lock == lock
            })
            .unwrap_or(NONE)
    }

    /// The hold that a session was granted for an operation; NONE where there is none.
    pub fn hold_of_request(&self, lock: u32, session: u64, id: u32) -> u32 {
        self.holds_by_request
            .find(self.request_hash(lock, session, id), |place| {
                let hold = &self.holds[place];
                hold.grant.id == id && hold.lock == lock && hold.grant.session == session
            })
            .unwrap_or(NONE)
    }

    /// The wait of a session for an operation; NONE where there is none.
    pub fn wait_of_request(&self, lock: u32, owner: u32, session: u64, id: u32) -> u32 {
        self.waits_by_request
            .find(self.request_hash(lock, session, id), |place| {
                let wait = &self.waits[place];
                wait.request.id == id && wait.lock == lock && wait.owner == owner
            })
            .unwrap_or(NONE)
    }

    /// The newest hold of a session that covers a mode; NONE where there is none. `of_session`: its holds.
    pub fn covering_hold(&self, lock: u32, session: u64, of_session: List, mode: u8) -> u32 {
        // Whichever are fewer: a lock may have many holds, and so may a session.
        if of_session.count < self.slab[lock].holds.count {
            let mut place = of_session.last;
            while place != NONE {
                let hold = &self.holds[place];
                if hold.lock == lock && hold.grant.covers(mode) {
                    break;
                }
                place = hold.in_session.before;
            }
            return place;
        }
        let mut place = self.slab[lock].holds.last;
        while place != NONE {
            let hold = &self.holds[place];
            if hold.grant.session == session && hold.grant.covers(mode) {
                break;
            }
            place = hold.before_in_lock();
        }
        place
    }

    /// The token of the newest hold; 0 where there is none.
    pub fn newest_token(&self, lock: u32) -> u64 {
        if lock == NONE {
            return 0;
        }
        match self.slab[lock].holds.last {
            NONE => 0,
            newest => self.holds[newest].token,
        }
    }

    /// Whether a request fits the holds: an upgrade, where its own hold is the only one.
    pub fn fits(&self, lock: u32, request: &Request) -> bool {
        let Lock { holds, modes, .. } = &self.slab[lock];
        let [_, shared, permits] = *modes;
        if request.upgrades != 0 {
            return holds.count == 1 && self.holds[holds.first].token == request.upgrades;
        }
        match request.mode {
            LOCK_SHARED => holds.count == shared,
            LOCK_PERMIT => holds.count == permits && u64::from(permits) < request.permits,
            _ => holds.count == 0,
        }
    }

    /// The greatest key of a hold's record; empty where there is none.
    pub fn greatest_hold_key(&self) -> Vec<u8> {
        let held = self.holds.all().filter(|hold| hold.serial != 0);
        let keys = held.map(|hold| (self.name(hold.lock), hold.token.to_be_bytes()));
        let greatest = keys.max_by(|(name, token), (other, other_token)| {
            let (key, other_key) = (name.iter().chain(token), other.iter().chain(other_token));
            key.cmp(other_key)
        });
        greatest.map_or(Vec::new(), |(name, token)| [name, &token].concat())
    }

    fn token_hash(&self, lock: u32, token: u64) -> u32 {
        self.hashing.words([u64::from(lock), token])
    }

    fn request_hash(&self, lock: u32, session: u64, id: u32) -> u32 {
        self.hashing
            .words([u64::from(lock) << 32 | u64::from(id), session])
    }
}

#[cfg(test)]
#[path = "locks_tests.rs"]
mod tests;
