//! Folding: records made by some engine become state here. It takes no decisions, so that it gives the
//! same state on every machine and with every later version. Restoring is the same for the records of a
//! snapshot: one for each thing that is there, in the order of kinds and keys.
//!
//! Records are applied in groups, as operations are, so that the cache misses of a group overlap.

use std::borrow::Cow;

use crate::ephemerals::Life;
use crate::holdings::Holdings;
use crate::holds::{Grant, split_hold_key};
use crate::keyspace::Keyspace;
use crate::layout::read_u64;
use crate::limits::INTEGER_LIMIT;
use crate::number::DECIMAL_BYTES_MAX;
use crate::partition::partition_of_key;
use crate::records::{Record, RecordKind, Space, key_at, read_record};
use crate::sessions::{session_of_text, session_text};
use crate::slab::NONE;

/// Why records cannot be applied.
pub enum Unfit {
    /// Not whole, not valid, or they do not go on from this state.
    Malformed,
    /// A value of so many bytes is above the bound.
    TooLarge(usize),
}

/// Records whose lookups overlap.
const GROUP: usize = 64;

/// Whether all of `records` are valid and go on from the state of `keyspace`. `newest` is memory for the
/// revisions that they lead to.
pub fn check_fold(
    keyspace: &Keyspace,
    records: &[u8],
    value_bytes_max: usize,
    newest: &mut Vec<u64>,
) -> Result<(), Unfit> {
    newest.clear();
    newest.extend_from_slice(keyspace.revisions());
    let mut rest = records;
    while !rest.is_empty() {
        let (record, after) = read_record(rest).ok_or(Unfit::Malformed)?;
        rest = after;
        check_names(keyspace, &record)?;
        let before = &mut newest[record.partition];
        if record.revision != *before + 1 {
            return Err(Unfit::Malformed);
        }
        *before = record.revision;
        check_length(&record, value_bytes_max)?;
    }
    Ok(())
}

/// Applies records that `check_fold` has passed. Returns the newest time among them.
pub fn fold(keyspace: &mut Keyspace, holdings: &mut Holdings, records: &[u8]) -> u64 {
    keyspace.defer_order(true);
    let time = for_each(keyspace, records, |keyspace, hash, record| {
        apply(keyspace, holdings, hash, record);
    });
    keyspace.defer_order(false);
    holdings.plan_wake();
    time
}

/// Whether all of `records` are valid ones of a snapshot, in the order of kinds and of keys, and their keys
/// above every one held of their kind.
pub fn check_restore(
    keyspace: &Keyspace,
    holdings: &Holdings,
    records: &[u8],
    value_bytes_max: usize,
) -> Result<(), Unfit> {
    let mut space = Space::Keys;
    let mut before = greatest_of(keyspace, holdings, space);
    let mut rest = records;
    while !rest.is_empty() {
        let (record, after) = read_record(rest).ok_or(Unfit::Malformed)?;
        rest = after;
        let is_state = matches!(
            record.kind,
            RecordKind::Put | RecordKind::Session | RecordKind::Hold | RecordKind::Fence
        );
        if !is_state || record.revision == 0 || record.kind.space() < space {
            return Err(Unfit::Malformed);
        }
        if record.kind.space() != space {
            space = record.kind.space();
            before = greatest_of(keyspace, holdings, space);
        }
        if record.key <= &*before {
            return Err(Unfit::Malformed);
        }
        check_names(keyspace, &record)?;
        check_length(&record, value_bytes_max)?;
        before = Cow::Borrowed(record.key);
    }
    Ok(())
}

/// The greatest key held of a space; empty where there is none.
fn greatest_of<'a>(keyspace: &'a Keyspace, holdings: &'a Holdings, space: Space) -> Cow<'a, [u8]> {
    match space {
        Space::Keys => keyspace.greatest_key().into(),
        Space::Sessions => session_text(holdings.sessions.greatest()).to_vec().into(),
        Space::Holds => holdings.locks.greatest_hold_key().into(),
        Space::Fences => holdings.fences.greatest().into(),
    }
}

/// Applies records that `check_restore` has passed. Returns the newest time among them.
pub fn restore(keyspace: &mut Keyspace, holdings: &mut Holdings, records: &[u8]) -> u64 {
    let time = for_each(keyspace, records, |keyspace, hash, record| {
        if record.kind == RecordKind::Put {
            // The sessions of a snapshot come after its keys: until then they are guests.
            life_of(holdings, record);
            keyspace.restore(hash, record);
        } else {
            let newest = keyspace.revision_of(record.partition);
            apply(keyspace, holdings, hash, record);
            keyspace.set_revision(record.partition, newest.max(record.revision));
        }
    });
    holdings.plan_wake();
    time
}

/// Applies records in groups. Returns the newest time among them.
fn for_each(
    keyspace: &mut Keyspace,
    records: &[u8],
    mut apply: impl FnMut(&mut Keyspace, u32, &Record<'_>),
) -> u64 {
    let mut time = 0;
    let mut rest = records;
    loop {
        let (hashes, count) = prefetch_group(keyspace, rest);
        for &hash in &hashes[..count] {
            let Some((record, after)) = read_record(rest) else {
                return time;
            };
            rest = after;
            time = time.max(record.time);
            apply(keyspace, hash, &record);
        }
        if count < GROUP {
            return time;
        }
    }
}

/// Whether key and value are those of a record of its kind and partition.
fn check_names(keyspace: &Keyspace, record: &Record<'_>) -> Result<(), Unfit> {
    let (key, value) = (record.key, record.value);
    let (named, suffix) = key.split_at(key.len() - record.kind.suffix_bytes());
    let fits = match record.kind.space() {
        Space::Keys => true,
        Space::Sessions => {
            session_of_text(key).is_some() && (value.is_empty() || is_count(read_u64(value, 0)))
        }
        Space::Holds => {
            split_hold_key(key).is_some_and(|(_, token)| is_count(token))
                && (value.is_empty() || Grant::of_record(value, record.expires_at).is_some())
        }
        Space::Fences => {
            suffix == (record.partition as u32).to_le_bytes() && is_count(read_u64(value, 0))
        }
    };
    let partition = match record.kind.space() {
        Space::Fences => record.partition,
        _ => partition_of_key(named, keyspace.partitions()),
    };
    if fits && partition == record.partition && partition < keyspace.partitions() {
        Ok(())
    } else {
        Err(Unfit::Malformed)
    }
}

/// Whether a figure is one that ids, tokens and times to live may have.
fn is_count(figure: u64) -> bool {
    (1..INTEGER_LIMIT).contains(&figure)
}

/// A counter may always be as long as its digits.
fn check_length(record: &Record<'_>, value_bytes_max: usize) -> Result<(), Unfit> {
    let length = record.value.len();
    if record.kind.space() == Space::Keys && length > value_bytes_max.max(DECIMAL_BYTES_MAX) {
        return Err(Unfit::TooLarge(length));
    }
    Ok(())
}

/// Hashes the keys of the next records and starts loading what applying them will need. The hashes and
/// how many there are.
fn prefetch_group(keyspace: &Keyspace, records: &[u8]) -> ([u32; GROUP], usize) {
    let mut hashes = [0; GROUP];
    let mut count = 0;
    let mut rest = records;
    while count < GROUP
        && let Some((key, after)) = key_at(rest)
    {
        hashes[count] = keyspace.hash(key);
        keyspace.prefetch_cell(hashes[count]);
        count += 1;
        rest = after;
    }
    for &hash in &hashes[..count] {
        if let Some(handle) = keyspace.candidate(hash) {
            keyspace.prefetch_entry(handle);
        }
    }
    (hashes, count)
}

fn apply(keyspace: &mut Keyspace, holdings: &mut Holdings, hash: u32, record: &Record<'_>) {
    if record.kind.space() != Space::Keys {
        keyspace.set_revision(record.partition, record.revision);
        apply_other(keyspace, holdings, record);
        return;
    }
    let Record {
        partition,
        revision,
        key,
        value,
        ..
    } = *record;
    let life = life_of(holdings, record);
    let found = keyspace.find(hash, key);
    let owner = found.and_then(|handle| {
        let entry = keyspace.entries.get(handle);
        keyspace.ephemerals.session_at(entry.expiry_at())
    });
    match (record.kind, found) {
        (RecordKind::Put, Some(handle)) => {
            keyspace.replace(hash, handle, value, revision, life);
        }
        (RecordKind::Put, None) => {
            keyspace.insert(hash, partition, key, value, revision, life);
        }
        (_, None) => keyspace.set_revision(partition, revision),
        (RecordKind::Touch, Some(handle)) => keyspace.touch(handle, revision, life),
        (_, Some(handle)) => keyspace.remove(handle, revision),
    }
    if let Some(session) = owner {
        let place = holdings.sessions.find(session);
        holdings.forget_idle(keyspace, place);
    }
}

/// How long a record says that its key lives. A session that is not there is a guest from then on.
#[inline]
fn life_of(holdings: &mut Holdings, record: &Record<'_>) -> Life {
    let life = Life::of_record(record);
    if let Some(session) = life.session() {
        holdings.sessions.admit(session);
    }
    life
}

/// Applies a record that is of no key.
#[cold]
fn apply_other(keyspace: &mut Keyspace, holdings: &mut Holdings, record: &Record<'_>) {
    match record.kind {
        RecordKind::Session => open_session(keyspace, holdings, record),
        RecordKind::SessionEnd => {
            let session = session_of_text(record.key).unwrap_or(0);
            let place = holdings.sessions.find(session);
            if place != NONE {
                holdings.leave_session(keyspace, place);
            }
        }
        RecordKind::Hold | RecordKind::HoldEnd => change_hold(keyspace, holdings, record),
        _ => holdings.note_fence(keyspace, record.key, read_u64(record.value, 0)),
    }
}

fn open_session(keyspace: &mut Keyspace, holdings: &mut Holdings, record: &Record<'_>) {
    let Some(session) = session_of_text(record.key) else {
        return;
    };
    let (ttl_ms, digest) = (read_u64(record.value, 0), &record.value[8..]);
    let place = holdings.sessions.find(session);
    if place == NONE || holdings.sessions.slab[place].is_guest {
        let place = holdings.open_session(keyspace, session, ttl_ms, digest, 0);
        holdings.sessions.newcomers.push(place);
    } else {
        holdings.sessions.slab[place].change(ttl_ms, digest);
    }
}

fn change_hold(keyspace: &mut Keyspace, holdings: &mut Holdings, record: &Record<'_>) {
    let Some((name, token)) = split_hold_key(record.key) else {
        return;
    };
    let lock = holdings.locks.find(name);
    let held = if lock == NONE {
        NONE
    } else {
        holdings.locks.hold_of_token(lock, token)
    };
    match (Grant::of_record(record.value, record.expires_at), held) {
        (Some(grant), NONE) => {
            let lock = holdings.locks.find_or_add(name, record.partition);
            holdings.add_hold(keyspace, lock, token, grant);
        }
        (Some(grant), held) => {
            holdings.change_hold(held, grant.depth, grant.mode, grant.lease);
            holdings.note_changed(lock);
        }
        (None, NONE) => {}
        (None, held) => {
            let owner = holdings.locks.holds[held].owner;
            holdings.remove_hold(keyspace, held);
            holdings.forget_idle(keyspace, owner);
            holdings.note_changed(lock);
        }
    }
}
