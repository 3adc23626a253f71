//! Which entry lives with which session. The keys of a session are a list in the order in which they came
//! to be its; an entry knows its place here as one that expires knows its place in the heap.

use std::collections::HashMap;

use crate::entries::{Entries, NO_EXPIRY, NOT_IN_HEAP};
use crate::records::{RECORD_FLAG_EPHEMERAL, Record, record_bytes};
use crate::slab::{Link, List, Slab};

/// How long a key lives: 0 for ever, or until a time (ms since 1970), or WITH_SESSION and a session's id.
/// Times and ids are below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(u64);

const WITH_SESSION: u64 = 1 << 63;

impl Life {
    pub const FOR_EVER: Self = Self(0);

    /// 0: for ever.
    #[inline]
    pub fn until(expires_at: u64) -> Self {
        Self(expires_at)
    }

    pub fn with_session(session: u64) -> Self {
        Self(WITH_SESSION | session)
    }

    /// 0 where it does not end at a time.
    #[inline]
    pub fn expires_at(self) -> u64 {
        if self.0 < WITH_SESSION { self.0 } else { 0 }
    }

    #[inline]
    pub fn session(self) -> Option<u64> {
        (self.0 >= WITH_SESSION).then_some(self.0 & !WITH_SESSION)
    }

    /// The flags and the expiry that a record says it with.
    #[inline]
    pub fn in_record(self) -> (u8, u64) {
        match self.session() {
            Some(session) => (RECORD_FLAG_EPHEMERAL, session),
            None => (0, self.0),
        }
    }

    /// What a record of a key says.
    #[inline]
    pub fn of_record(record: &Record<'_>) -> Self {
        if record.flags & RECORD_FLAG_EPHEMERAL == 0 {
            Self::until(record.expires_at)
        } else {
            Self::with_session(record.expires_at)
        }
    }
}

struct Ephemeral {
    handle: u32,
    session: u64,
    link: Link,
}

#[derive(Default)]
struct Owned {
    keys: List,
    /// Bytes of the records that remove them.
    end_bytes: usize,
}

#[derive(Default)]
pub struct Ephemerals {
    nodes: Slab<Ephemeral>,
    /// By session; none is empty.
    owned: HashMap<u64, Owned>,
}

impl Ephemerals {
    /// The session that an entry with this `expiry_at` lives with.
    #[inline]
    pub fn session_at(&self, expiry_at: u32) -> Option<u64> {
        place_of(expiry_at).map(|place| self.nodes[place].session)
    }

    /// Bytes of the records that remove the keys of a session.
    pub fn end_bytes(&self, session: u64) -> usize {
        self.owned.get(&session).map_or(0, |owned| owned.end_bytes)
    }

    pub fn has_keys(&self, session: u64) -> bool {
        self.owned.contains_key(&session)
    }

    /// The handle of the key that came to be the session's first.
    pub fn first(&self, session: u64) -> Option<u32> {
        let owned = self.owned.get(&session)?;
        Some(self.nodes[owned.keys.first].handle)
    }

    /// Makes an entry live with a session: one that is neither in the heap nor another session's.
    pub fn add(&mut self, entries: &mut Entries, handle: u32, session: u64) {
        let place = self.nodes.add(Ephemeral {
            handle,
            session,
            link: Link::default(),
        });
        let owned = self.owned.entry(session).or_default();
        owned
            .keys
            .push_back(&mut self.nodes, place, |node| &mut node.link);
        owned.end_bytes += record_bytes(entries.get(handle).key().len(), 0);
        entries.set_expiry_at(handle, NOT_IN_HEAP | place);
    }

    /// Lets go of an entry, where it lives with a session.
    pub fn remove(&mut self, entries: &mut Entries, handle: u32) {
        let entry = entries.get(handle);
        let Some(place) = place_of(entry.expiry_at()) else {
            return;
        };
        let end_bytes = record_bytes(entry.key().len(), 0);
        entries.set_expiry_at(handle, NO_EXPIRY);
        let session = self.nodes[place].session;
        if let Some(owned) = self.owned.get_mut(&session) {
            owned
                .keys
                .remove(&mut self.nodes, place, |node| &mut node.link);
            owned.end_bytes -= end_bytes;
            if owned.keys.is_empty() {
                self.owned.remove(&session);
            }
        }
        self.nodes.free(place);
    }

    /// An entry has moved to another handle.
    pub fn moved(&mut self, expiry_at: u32, handle: u32) {
        if let Some(place) = place_of(expiry_at) {
            self.nodes[place].handle = handle;
        }
    }
}

#[inline]
fn place_of(expiry_at: u32) -> Option<u32> {
    (expiry_at >= NOT_IN_HEAP && expiry_at != NO_EXPIRY).then_some(expiry_at & !NOT_IN_HEAP)
}
