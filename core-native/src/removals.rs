//! The unsettled removals: keys whose delete or expire record is not durable yet, for whoever sees that
//! they are gone. Each record is an entry with the removed key, its append in place of a revision.

use std::collections::VecDeque;

use crate::entries::Entries;
use crate::limits::GATE_REMOVALS_EXAMINED_MAX;
use crate::table::Table;

struct Removal {
    hash: u32,
    handle: u32,
}

#[derive(Default)]
pub struct Removals {
    entries: Entries,
    /// Oldest first.
    queue: VecDeque<Removal>,
    /// The newest removal of each key.
    newest: Table,
}

impl Removals {
    /// Takes in a record about a key, made by `append`.
    pub fn add(&mut self, hash: u32, key: &[u8], append: u64) {
        let before = self.find(hash, key);
        let handle = self.entries.add(key, &[], 0);
        self.entries.set_revision(handle, append);
        match before {
            None => self.newest.insert(hash, handle),
            Some(before) => self.newest.replace(hash, before, handle),
        }
        self.queue.push_back(Removal { hash, handle });
    }

    /// Drops what the appends up to `durable` removed.
    pub fn settle(&mut self, durable: u64) {
        while let Some(&Removal { hash, handle }) = self.queue.front() {
            if self.entries.get(handle).revision() > durable {
                return;
            }
            // Another one is named where the key was removed again.
            self.newest.remove(hash, handle);
            self.entries.remove(handle);
            self.queue.pop_front();
        }
    }

    /// The append of the newest removal of a key; 0 for none.
    pub fn append_of(&self, hash: u32, key: &[u8]) -> u64 {
        self.find(hash, key)
            .map_or(0, |handle| self.entries.get(handle).revision())
    }

    /// The append of the newest removal that a page of a scan would show; `last` is the last key of a
    /// page that ended early. Beyond GATE_REMOVALS_EXAMINED_MAX of them, the next one counts as shown.
    /// 0 for none.
    pub fn append_of_page(&self, prefix: &[u8], cursor: &[u8], last: Option<&[u8]>) -> u64 {
        for (examined, removal) in self.queue.iter().rev().enumerate() {
            let entry = self.entries.get(removal.handle);
            let key = entry.key();
            let is_shown = examined == GATE_REMOVALS_EXAMINED_MAX
                || (key.starts_with(prefix) && key > cursor && last.is_none_or(|last| key <= last));
            if is_shown {
                return entry.revision();
            }
        }
        0
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.newest
            .find(hash, |handle| self.entries.get(handle).key() == key)
    }
}
