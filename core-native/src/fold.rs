//! Folding: records made by some engine become state here. It takes no decisions, so that it gives the
//! same state on every machine and with every later version.

use std::collections::HashMap;

use crate::keyspace::Keyspace;
use crate::number::DECIMAL_BYTES_MAX;
use crate::partition::partition_of_key;
use crate::records::{Record, RecordKind, read_record};

/// Whether all of `records` are valid and go on from the state of `keyspace`.
pub fn can_fold(keyspace: &Keyspace, records: &[u8], value_bytes_max: usize) -> bool {
    let value_bytes_max = value_bytes_max.max(DECIMAL_BYTES_MAX);
    let mut newest = HashMap::new();
    let mut rest = records;
    while !rest.is_empty() {
        let Some((record, after)) = read_record(rest) else {
            return false;
        };
        rest = after;
        let Record {
            partition,
            revision,
            key,
            value,
            ..
        } = record;
        let before = newest.insert(partition, revision);
        let before = before.unwrap_or_else(|| keyspace.revision_of(partition));
        if partition_of_key(key, keyspace.partitions()) != partition
            || revision != before + 1
            || value.len() > value_bytes_max
        {
            return false;
        }
    }
    true
}

/// Applies records for which `can_fold` holds. Returns the newest time among them.
pub fn fold(keyspace: &mut Keyspace, records: &[u8]) -> u64 {
    let mut time = 0;
    let mut rest = records;
    while let Some((record, after)) = read_record(rest) {
        rest = after;
        time = time.max(record.time);
        let Record {
            partition,
            revision,
            expires_at,
            key,
            value,
            ..
        } = record;
        let hash = keyspace.hash(key);
        match (record.kind, keyspace.find(hash, key)) {
            (RecordKind::Put, Some(handle)) => {
                keyspace.replace(hash, handle, value, revision, expires_at);
            }
            (RecordKind::Put, None) => {
                keyspace.insert(hash, partition, key, value, revision, expires_at)
            }
            (_, None) => keyspace.skip(partition, revision),
            (RecordKind::Touch, Some(handle)) => keyspace.touch(handle, revision, expires_at),
            (_, Some(handle)) => keyspace.remove(handle, revision),
        }
    }
    time
}
