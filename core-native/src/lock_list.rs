//! ListLocks: a page of locks in the byte order of their names, each with a view of who holds it and who
//! waits. Pages are cut as those of a scan.

use crate::generated::Status;
use crate::holdings::Holdings;
use crate::layout::{FLAG_ENTRY, FLAG_MORE};
use crate::limits::{LOCK_ITEMS_SHOWN_MAX, SCAN_BYTES_MAX};
use crate::operation::Operation;
use crate::reply::{Head, ReplyWriter};
use crate::slab::NONE;

/// Writes a page and its closing result. The caller has seen that there is room for any page.
pub fn list_locks(holdings: &Holdings, operation: &Operation<'_>, reply: &mut ReplyWriter<'_>) {
    let locks = &holdings.locks;
    let (prefix, cursor) = (operation.key, operation.value);
    let head = Head {
        id: operation.id,
        status: Status::Ok,
        flags: 0,
        count: 0,
        revision: 0,
        ttl_ms: 0,
    };
    let mut count = 0;
    let mut bytes = 0;
    let mut last: &[u8] = &[];
    let mut more = false;
    let mut view = Vec::new();
    for lock in locks.from(prefix.max(cursor)) {
        let name = locks.name(lock);
        if !name.starts_with(prefix) {
            break;
        }
        if name == cursor {
            continue;
        }
        write_view(holdings, lock, &mut view);
        bytes += name.len() + view.len();
        if count == operation.limit || (count > 0 && bytes > SCAN_BYTES_MAX) {
            more = true;
            break;
        }
        let entry = Head {
            flags: FLAG_ENTRY,
            revision: locks.newest_token(lock),
            ..head
        };
        reply.result(entry, name, &view);
        count += 1;
        last = name;
    }
    let flags = if more { FLAG_MORE } else { 0 };
    let closing = Head {
        flags,
        count: count as u32,
        ..head
    };
    reply.result(closing, &[], if more { last } else { &[] });
}

/// Who holds a lock and who waits for it.
fn write_view(holdings: &Holdings, lock: u32, view: &mut Vec<u8>) {
    let locks = &holdings.locks;
    let (holds, waits) = (locks.get(lock).holds, locks.get(lock).waits);
    let shown_max = LOCK_ITEMS_SHOWN_MAX as u32;
    view.clear();
    for figure in [
        holds.count,
        waits.count,
        holds.count.min(shown_max),
        waits.count.min(shown_max),
    ] {
        view.extend_from_slice(&figure.to_le_bytes());
    }

    let mut place = holds.first;
    for _ in 0..LOCK_ITEMS_SHOWN_MAX {
        if place == NONE {
            break;
        }
        let hold = &locks.holds[place];
        let grant = hold.grant;
        write_item(
            view,
            [hold.token, grant.session, grant.since, grant.lease],
            (grant.id, grant.depth, grant.mode, 0),
        );
        place = hold.next_in_lock();
    }

    let mut place = waits.first;
    for _ in 0..LOCK_ITEMS_SHOWN_MAX {
        if place == NONE {
            break;
        }
        let wait = &locks.waits[place];
        let session = holdings.sessions.slab[wait.owner].id;
        let request = wait.request;
        let is_upgrade = u8::from(request.upgrades != 0);
        write_item(
            view,
            [0, session, wait.since, wait.deadline],
            (request.id, 0, request.mode, is_upgrade),
        );
        place = wait.next_in_lock();
    }
}

/// Token, session, since when, and until when; id, depth, mode, and whether it is an upgrade.
fn write_item(view: &mut Vec<u8>, words: [u64; 4], (id, depth, mode, upgrade): (u32, u16, u8, u8)) {
    for word in words {
        view.extend_from_slice(&word.to_le_bytes());
    }
    view.extend_from_slice(&id.to_le_bytes());
    view.extend_from_slice(&depth.to_le_bytes());
    view.extend_from_slice(&[mode, upgrade]);
}
