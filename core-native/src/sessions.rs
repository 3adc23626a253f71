//! The sessions and guests: what each owns, and how much its end will write.

use crate::answers::Answers;
use crate::key_hash::Hashing;
use crate::limits::{INTEGER_LIMIT, SESSION_SECRET_BYTES};
use crate::records::record_bytes;
use crate::slab::{List, NONE, Slab};
use crate::table::Table;

/// A session's key in records: hexadecimal digits, so that a dump can be read.
pub const SESSION_KEY_BYTES: usize = 14;
/// Bytes of a session's record: u64 ttl, then what stands for its secret.
pub const SESSION_VALUE_BYTES: usize = 8 + SESSION_SECRET_BYTES;

/// The text of a session's id, as in records and messages.
pub fn session_text(session: u64) -> [u8; SESSION_KEY_BYTES] {
    let mut text = [b'0'; SESSION_KEY_BYTES];
    let mut rest = session;
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    text
}

/// The id of a text that `session_text` gives for a session.
pub fn session_of_text(text: &[u8]) -> Option<u64> {
    let mut session = 0;
    for &digit in text {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        session = session << 4 | u64::from(value);
    }
    (text.len() == SESSION_KEY_BYTES && is_session(session)).then_some(session)
}

/// Whether this can be a session's id.
pub fn is_session(id: u64) -> bool {
    (1..INTEGER_LIMIT).contains(&id)
}

/// The id that a figure from JavaScript stands for.
pub fn session_of_figure(id: f64) -> Option<u64> {
    let fits = id.fract() == 0.0 && id >= 1.0 && is_session(id as u64);
    fits.then_some(id as u64)
}

pub struct Session {
    pub id: u64,
    /// Tells it from others in the same place; 0 once it has ended.
    pub serial: u64,
    /// It is known without a record of its own: never due, and it costs no memory.
    pub is_guest: bool,
    /// A guest whose end has begun and goes on in the next calls: for operations it is not there.
    pub is_ending: bool,
    pub ttl_ms: u64,
    pub digest: [u8; SESSION_SECRET_BYTES],
    /// The last sign of life.
    pub seen: u64,
    /// Bytes of the records that end its holds.
    pub end_bytes: usize,
    /// In the order of the grants.
    pub holds: List,
    /// In the order in which they began.
    pub waits: List,
    pub answers: Option<Box<Answers>>,
}

impl Session {
    /// Gives it another time to live and secret.
    pub fn change(&mut self, ttl_ms: u64, digest: &[u8]) {
        self.ttl_ms = ttl_ms;
        for (to, from) in self.digest.iter_mut().zip(digest) {
            *to = *from;
        }
    }

    /// A guest never does.
    pub fn ends_at(&self) -> u64 {
        if self.is_guest {
            u64::MAX
        } else {
            self.seen.saturating_add(self.ttl_ms)
        }
    }
}

pub struct Sessions {
    hashing: Hashing,
    table: Table,
    pub slab: Slab<Session>,
    serial: u64,
    /// How many of them are guests.
    guests: usize,
    /// Places of those that came by `fold` or `restore` and have given no sign of life since.
    pub newcomers: Vec<u32>,
}

impl Sessions {
    pub fn new(hashing: Hashing) -> Self {
        Self {
            hashing,
            table: Table::default(),
            slab: Slab::default(),
            serial: 0,
            guests: 0,
            newcomers: Vec::new(),
        }
    }

    /// The place of a session; NONE where there is none of that id.
    #[inline]
    pub fn find(&self, id: u64) -> u32 {
        self.table
            .find(self.hashing.words([id]), |place| self.slab[place].id == id)
            .unwrap_or(NONE)
    }

    /// Those that have a record.
    pub fn count(&self) -> usize {
        self.slab.count() - self.guests
    }

    /// Adds a session whose id is not in use, or makes a session of a guest.
    pub fn add(&mut self, id: u64, ttl_ms: u64, digest: &[u8], seen: u64) -> u32 {
        let place = self.admit(id);
        let session = &mut self.slab[place];
        session.is_guest = false;
        session.seen = seen;
        session.change(ttl_ms, digest);
        self.guests -= 1;
        place
    }

    /// The place of a session; where there is none of that id a guest is made.
    pub fn admit(&mut self, id: u64) -> u32 {
        let found = self.find(id);
        if found != NONE {
            return found;
        }
        self.serial += 1;
        self.guests += 1;
        let place = self.slab.add(Session {
            id,
            serial: self.serial,
            is_guest: true,
            is_ending: false,
            ttl_ms: 0,
            digest: [0; SESSION_SECRET_BYTES],
            seen: 0,
            end_bytes: 0,
            holds: List::default(),
            waits: List::default(),
            answers: None,
        });
        self.table.insert(self.hashing.words([id]), place);
        place
    }

    /// Makes a guest of a session. Its deadlines are none of its any more.
    pub fn make_guest(&mut self, place: u32) {
        self.serial += 1;
        self.guests += 1;
        let session = &mut self.slab[place];
        session.serial = self.serial;
        session.is_guest = true;
        session.ttl_ms = 0;
        session.answers = None;
        self.drop_newcomer(place);
    }

    /// Removes a session or a guest that owns nothing any more.
    pub fn remove(&mut self, place: u32) {
        let session = &mut self.slab[place];
        session.serial = 0;
        session.answers = None;
        self.guests -= usize::from(session.is_guest);
        let hash = self.hashing.words([session.id]);
        self.table.remove(hash, place);
        self.slab.free(place);
        self.drop_newcomer(place);
    }

    /// The greatest id of those that have a record; 0 where there is none.
    pub fn greatest(&self) -> u64 {
        let own = self.all().filter(|session| !session.is_guest);
        own.map(|session| session.id).max().unwrap_or(0)
    }

    /// Ids of all guests, ascending.
    pub fn guests(&self) -> Vec<u64> {
        let guests = self.all().filter(|session| session.is_guest);
        let mut ids: Vec<u64> = guests.map(|session| session.id).collect();
        ids.sort_unstable();
        ids
    }

    fn all(&self) -> impl Iterator<Item = &Session> {
        self.slab.all().filter(|session| session.serial != 0)
    }

    fn drop_newcomer(&mut self, place: u32) {
        if !self.newcomers.is_empty() {
            self.newcomers.retain(|&newcomer| newcomer != place);
        }
    }
}

/// Bytes of the record of a session's end.
pub const fn session_end_bytes() -> usize {
    record_bytes(SESSION_KEY_BYTES, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_text() {
        for id in [1, 0xabc, INTEGER_LIMIT - 1] {
            assert_eq!(session_of_text(&session_text(id)), Some(id));
        }
        assert_eq!(&session_text(0x1f), b"0000000000001f");
        for text in [
            "0000000000001F",
            "00000000000000",
            "20000000000000",
            "1",
            "0000000000000g",
        ] {
            assert_eq!(session_of_text(text.as_bytes()), None, "{text}");
        }
    }
}
