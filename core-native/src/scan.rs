//! Prefix scans: a page of live keys in byte order. Pages are cut by the limit, by bytes and by how many
//! expired keys stand between, never by the room left in a reply, so that a page does not depend on what else is in its frame.

use crate::gate::Gate;
use crate::generated::Status;
use crate::keyspace::Keyspace;
use crate::layout::{FLAG_ENTRY, FLAG_MORE};
use crate::limits::{KEY_BYTES_MAX, SCAN_BYTES_MAX, SCAN_EXPIRED_MAX};
use crate::operation::Operation;
use crate::reply::{Head, ReplyWriter};

/// Whether the reply has room for any page of this scan.
pub fn scan_fits(
    operation: &Operation<'_>,
    reply: &ReplyWriter<'_>,
    value_bytes_max: usize,
) -> bool {
    let data_room = SCAN_BYTES_MAX + value_bytes_max + 2 * KEY_BYTES_MAX;
    reply.result_room() > operation.limit && (reply.is_empty() || reply.data_room() >= data_room)
}

/// Writes a page and its closing result. The gate is told of every entry that the page depends on:
/// returned, passed over as expired, or the one after it.
pub fn scan(
    keyspace: &Keyspace,
    gate: &mut Gate,
    operation: &Operation<'_>,
    now: u64,
    reply: &mut ReplyWriter<'_>,
) {
    let watching = gate.watching();
    let (prefix, cursor) = (operation.key, operation.value);
    let id = operation.id;
    let head = Head {
        id,
        status: Status::Ok,
        flags: 0,
        count: 0,
        revision: 0,
        ttl_ms: 0,
    };
    let mut count = 0;
    let mut expired = 0;
    let mut bytes = 0;
    let mut last: &[u8] = &[];
    let mut more = false;
    for entry in keyspace.from(prefix.max(cursor)) {
        let key = entry.key();
        if !key.starts_with(prefix) {
            break;
        }
        let expires_at = keyspace.expires_at(entry);
        if key == cursor {
            continue;
        }
        if watching {
            gate.see(entry.partition(), entry.revision());
        }
        if expires_at != 0 && expires_at <= now {
            if expired == SCAN_EXPIRED_MAX {
                more = true;
                break;
            }
            expired += 1;
            last = key;
            continue;
        }
        let value = if operation.keys_only() {
            &[]
        } else {
            entry.value()
        };
        bytes += key.len() + value.len();
        if count == operation.limit || (count > 0 && bytes > SCAN_BYTES_MAX) {
            more = true;
            break;
        }
        let (revision, ttl_ms) = (entry.revision(), expires_at.saturating_sub(now));
        reply.result(
            Head {
                flags: FLAG_ENTRY,
                revision,
                ttl_ms,
                ..head
            },
            key,
            value,
        );
        count += 1;
        last = key;
    }
    if watching {
        gate.see_page(prefix, cursor, more.then_some(last));
    }
    let flags = if more { FLAG_MORE } else { 0 };
    reply.result(
        Head {
            flags,
            count: count as u32,
            ..head
        },
        &[],
        if more { last } else { &[] },
    );
}
