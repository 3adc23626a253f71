//! Folding: records made by some engine become state here. It takes no decisions, so that it gives the
//! same state on every machine and with every later version. Restoring is the same for the records of a
//! snapshot: one put for each key, in the order of keys.
//!
//! Records are applied in groups, as operations are, so that the cache misses of a group overlap.

use crate::keyspace::Keyspace;
use crate::number::DECIMAL_BYTES_MAX;
use crate::partition::partition_of_key;
use crate::records::{Record, RecordKind, key_at, read_record};

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
        check_partition(keyspace, &record)?;
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
pub fn fold(keyspace: &mut Keyspace, records: &[u8]) -> u64 {
    keyspace.defer_order(true);
    let time = for_each(keyspace, records, apply);
    keyspace.defer_order(false);
    time
}

/// Whether all of `records` are valid puts, their keys ascending and above every key held.
pub fn check_restore(
    keyspace: &Keyspace,
    records: &[u8],
    value_bytes_max: usize,
) -> Result<(), Unfit> {
    let mut before = keyspace.greatest_key();
    let mut rest = records;
    while !rest.is_empty() {
        let (record, after) = read_record(rest).ok_or(Unfit::Malformed)?;
        rest = after;
        if record.kind != RecordKind::Put || record.revision == 0 || record.key <= before {
            return Err(Unfit::Malformed);
        }
        check_partition(keyspace, &record)?;
        check_length(&record, value_bytes_max)?;
        before = record.key;
    }
    Ok(())
}

/// Applies records that `check_restore` has passed. Returns the newest time among them.
pub fn restore(keyspace: &mut Keyspace, records: &[u8]) -> u64 {
    for_each(keyspace, records, Keyspace::restore)
}

/// Applies records in groups. Returns the newest time among them.
fn for_each(
    keyspace: &mut Keyspace,
    records: &[u8],
    apply: impl Fn(&mut Keyspace, u32, &Record<'_>),
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

fn check_partition(keyspace: &Keyspace, record: &Record<'_>) -> Result<(), Unfit> {
    if partition_of_key(record.key, keyspace.partitions()) == record.partition {
        Ok(())
    } else {
        Err(Unfit::Malformed)
    }
}

/// A counter may always be as long as its digits.
fn check_length(record: &Record<'_>, value_bytes_max: usize) -> Result<(), Unfit> {
    let length = record.value.len();
    if length > value_bytes_max.max(DECIMAL_BYTES_MAX) {
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

fn apply(keyspace: &mut Keyspace, hash: u32, record: &Record<'_>) {
    let Record {
        partition,
        revision,
        expires_at,
        key,
        value,
        ..
    } = *record;
    match (record.kind, keyspace.find(hash, key)) {
        (RecordKind::Put, Some(handle)) => {
            keyspace.replace(hash, handle, value, revision, expires_at);
        }
        (RecordKind::Put, None) => {
            keyspace.insert(hash, partition, key, value, revision, expires_at);
        }
        (_, None) => keyspace.set_revision(partition, revision),
        (RecordKind::Touch, Some(handle)) => keyspace.touch(handle, revision, expires_at),
        (_, Some(handle)) => keyspace.remove(handle, revision),
    }
}
