//! Whom sessions wait for here, for the node's search for cycles through several engines, and the end of a wait
//! that closes one. Who waits for whom is in `ts/engine/coordination.ts`; `deadlock` has the search within an
//! engine.

use crate::due::DUE_ROOM_BYTES;
use crate::effects::Effects;
use crate::engine::{Buffers, Engine};
use crate::generated::Status;
use crate::holds::{Wait, fit_beside};
use crate::layout::LOCK_EXCLUSIVE;
use crate::locks::Locks;
use crate::notices::{NoticeWriter, notice_bytes};
use crate::sessions::{Sessions, session_of_figure};
use crate::slab::NONE;

/// The blockers of one wait after another.
struct Listing<'a, 'b> {
    sessions: &'a Sessions,
    locks: &'a Locks,
    notices: &'a mut NoticeWriter<'b>,
    count: usize,
    /// By place of a session: the last wait, counted from 1 on, that it was told to block.
    told: Vec<u32>,
    waits: u32,
}

/// The notices have no room.
struct NoRoom;

impl Engine {
    /// Leaves a notice for each wait of these sessions and each session that it waits for. How many; None,
    /// and no notices, where they had no room.
    pub fn list_blockers(&mut self, sessions: &[f64], buffers: Buffers<'_>) -> Option<usize> {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.more = false;
        let mut listing = Listing {
            sessions: &self.holdings.sessions,
            locks: &self.holdings.locks,
            notices: &mut effects.notices,
            count: 0,
            told: Vec::new(),
            waits: 0,
        };
        let ids = sessions.iter().filter_map(|&id| session_of_figure(id));
        let listed = ids.into_iter().try_for_each(|id| listing.add_session(id));
        let count = listing.count;
        if listed.is_err() {
            effects.notices.clear();
        }
        self.finish(buffers.outcome, &effects);
        listed.ok().map(|()| count)
    }

    /// Ends the wait of a session under this operation id as one of a deadlock, which `detail` names; false
    /// where there is no such wait, or no room for the detail.
    pub fn refuse_wait(
        &mut self,
        session: f64,
        id: f64,
        detail: &[u8],
        now: u64,
        buffers: Buffers<'_>,
    ) -> bool {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.begin_step(now);
        let wait = session_of_figure(session).map_or(NONE, |session| self.wait_of(session, id));
        let room = notice_bytes(detail.len()) + DUE_ROOM_BYTES;
        let is_refused = wait != NONE && effects.notices.room() >= room;
        if is_refused {
            self.end_wait(wait, Status::Deadlock, detail, &mut effects);
        }
        self.finish(buffers.outcome, &effects);
        is_refused
    }

    /// The first wait of a session that began under this id.
    fn wait_of(&self, session: u64, id: f64) -> u32 {
        let (sessions, locks) = (&self.holdings.sessions, &self.holdings.locks);
        let place = sessions.find(session);
        if place == NONE {
            return NONE;
        }
        let mut wait = sessions.slab[place].waits.first;
        while wait != NONE && f64::from(locks.waits[wait].request.id) != id {
            wait = locks.waits[wait].next_in_session();
        }
        wait
    }
}

impl Listing<'_, '_> {
    fn add_session(&mut self, id: u64) -> Result<(), NoRoom> {
        let place = self.sessions.find(id);
        if place == NONE {
            return Ok(());
        }
        let mut wait = self.sessions.slab[place].waits.first;
        while wait != NONE {
            self.waits += 1;
            self.add_wait(wait, id)?;
            wait = self.locks.waits[wait].next_in_session();
        }
        Ok(())
    }

    /// Holds in order of grant, then waits before it in the queue; behind a barrier that one and those after it.
    fn add_wait(&mut self, place: u32, session: u64) -> Result<(), NoRoom> {
        let locks = self.locks;
        let wait = &locks.waits[place];
        let mode = wait.request.mode;
        let lock = locks.get(wait.lock);
        let barrier = self.barrier_before(wait);
        let mut hold = if barrier == NONE {
            lock.holds.first
        } else {
            NONE
        };
        while hold != NONE {
            let at = &locks.holds[hold];
            if at.owner != wait.owner && !fit_beside(mode, at.grant.mode) {
                self.add_blocker(place, session, at.owner, true)?;
            }
            hold = at.next_in_lock();
        }
        if wait.request.upgrades != 0 {
            return Ok(());
        }
        let mut other = if barrier == NONE {
            lock.waits.first
        } else {
            barrier
        };
        while other != place {
            let at = &locks.waits[other];
            if at.owner != wait.owner && !fit_beside(mode, at.request.mode) {
                self.add_blocker(place, session, at.owner, false)?;
            }
            other = at.next_in_lock();
        }
        Ok(())
    }

    /// The last wait before this one that itself waits for all before it, and is older; NONE where there is none.
    fn barrier_before(&self, wait: &Wait) -> u32 {
        if wait.request.upgrades != 0 {
            return NONE;
        }
        let waits = &self.locks.waits;
        // Of waits of one millisecond the search takes that of the lower session for the older one.
        let age = |wait: &Wait| (wait.since, self.sessions.slab[wait.owner].id);
        let mut place = wait.before_in_lock();
        while place != NONE {
            let at = &waits[place];
            let is_exclusive = at.request.mode == LOCK_EXCLUSIVE && at.request.upgrades == 0;
            if is_exclusive && age(at) < age(wait) && at.owner != wait.owner {
                break;
            }
            place = at.before_in_lock();
        }
        place
    }

    /// A notice of the blocker with this place, unless the wait has one of it.
    fn add_blocker(
        &mut self,
        wait: u32,
        session: u64,
        blocker: u32,
        is_held: bool,
    ) -> Result<(), NoRoom> {
        let at = blocker as usize;
        if at >= self.told.len() {
            self.told.resize(at + 1, 0);
        }
        if std::mem::replace(&mut self.told[at], self.waits) == self.waits {
            return Ok(());
        }
        let wait = &self.locks.waits[wait];
        let name = self.locks.name(wait.lock);
        if self.notices.room() < notice_bytes(name.len()) {
            return Err(NoRoom);
        }
        let other = self.sessions.slab[blocker].id;
        let (id, since) = (wait.request.id, wait.since);
        self.notices
            .blocker(session, (id, since), name, (other, is_held));
        self.count += 1;
        Ok(())
    }
}
