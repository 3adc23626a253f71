//! Tests of `routing`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::*;
use crate::layout::{OPERATION_CODE, OPERATION_KEY_LENGTH, OPERATION_TTL_MS, write};
use crate::limits::PARTITIONS_MAX;
use crate::routing_table::{ROUTING_OWNERS, ROUTING_PARTITIONS, ROUTING_SEQUENCE, ROUTING_WORKERS};

const PARTITIONS: usize = 4;
const WORKERS: usize = 4;

/// Worker 1 of four that have a partition each. None of them serves: that is the node's to see to.
fn routing() -> (Routing, &'static [AtomicU64]) {
    let words: Vec<AtomicU32> = (0..ROUTING_OWNERS + PARTITIONS_MAX)
        .map(|_| AtomicU32::new(0))
        .collect();
    let words: &'static [AtomicU32] = words.leak();
    let set = |at: usize, word: usize| words[at].store(word as u32, Ordering::Release);
    set(ROUTING_WORKERS, WORKERS);
    set(ROUTING_PARTITIONS, PARTITIONS);
    for index in 0..WORKERS {
        set(ROUTING_OWNERS + index, index);
    }
    set(ROUTING_SEQUENCE, 2);
    let cells: Vec<AtomicU64> = (0..PARTITIONS).map(|_| AtomicU64::new(0)).collect();
    let cells: &'static [AtomicU64] = cells.leak();
    let made = RoutingTable::new(words, PARTITIONS)
        .zip(Revisions::new(cells, PARTITIONS))
        .and_then(|(table, revisions)| Routing::new(1, PARTITIONS, table, revisions));
    let Some(routing) = made else {
        unreachable!("the table is whole");
    };
    (routing, cells)
}

/// A key of a partition.
fn key_of(partition: usize) -> Vec<u8> {
    let mut keys = (0_u32..).map(|number| number.to_string().into_bytes());
    keys.find(|key| partition_of_key(key, PARTITIONS) == partition)
        .unwrap_or_default()
}

fn operation(code: OperationCode, key: &[u8], address: u64) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; OPERATION_BYTES];
    bytes[OPERATION_CODE] = code.0;
    write(
        &mut bytes,
        OPERATION_KEY_LENGTH,
        (key.len() as u16).to_le_bytes(),
    );
    write(&mut bytes, OPERATION_TTL_MS, address.to_le_bytes());
    (bytes, key.to_vec())
}

/// What becomes of these operations.
fn fates(
    routing: &mut Routing,
    operations: &[(Vec<u8>, Vec<u8>)],
    session: u64,
    was_forwarded: bool,
) -> (Share, Vec<Fate>) {
    let bytes: Vec<u8> = operations
        .iter()
        .flat_map(|(bytes, _)| bytes.clone())
        .collect();
    let data: Vec<u8> = operations.iter().flat_map(|(_, key)| key.clone()).collect();
    let share = routing.share(&bytes, &data, session, was_forwarded);
    let fates = (0..operations.len())
        .map(|index| routing.fate(index))
        .collect();
    (share, fates)
}

#[test]
fn keys_go_to_the_worker_of_their_partition() {
    let (mut routing, _) = routing();
    let operations: Vec<_> = (0..PARTITIONS)
        .map(|partition| operation(OperationCode::Get, &key_of(partition), 0))
        .collect();
    let [here, there, nowhere] = [Fate::Executed, Fate::Forwarded, Fate::Unavailable];
    let part = (Share::Part, vec![there, here, there, there]);
    assert!(fates(&mut routing, &operations, 0, false) == part);
    let not_again = (Share::Part, vec![nowhere, here, nowhere, nowhere]);
    assert!(fates(&mut routing, &operations, 0, true) == not_again);
    assert!(fates(&mut routing, &operations[1..2], 0, false).0 == Share::Whole);
    assert!(fates(&mut routing, &operations[2..3], 0, false).0 == Share::Nothing);
    assert!(fates(&mut routing, &operations[3..], 0, true) == (Share::Part, vec![nowhere]));
}

#[test]
fn prefixes_go_to_their_address_or_tag() {
    let (mut routing, _) = routing();
    let tagged = [b"{", &key_of(0)[..], b"}k"].concat();
    let cases = [
        (b"k".to_vec(), 0, Fate::Executed),
        (b"k".to_vec(), 1, Fate::Forwarded),
        (b"k".to_vec(), 2, Fate::Executed),
        (b"k".to_vec(), 4, Fate::Forwarded),
        (b"k".to_vec(), 5, Fate::Executed),
        (b"k".to_vec(), u64::MAX, Fate::Executed),
        (tagged.clone(), 0, Fate::Forwarded),
        (tagged, 2, Fate::Executed),
    ];
    for (key, address, fate) in cases {
        for code in [OperationCode::Scan, OperationCode::ListLocks] {
            let (_, found) = fates(&mut routing, &[operation(code, &key, address)], 0, false);
            assert!(found == [fate], "{code:?} of {key:?} at {address}");
        }
    }
}

#[test]
fn signs_of_life_go_to_the_home_of_the_session() {
    let (mut routing, _) = routing();
    let session_at = |partition| {
        (1_u64..).find(|&id| partition_of_key(&session_text(id), PARTITIONS) == partition)
    };
    let renew = [operation(OperationCode::Renew, b"", 0)];
    for (partition, fate) in [
        (0, Fate::Forwarded),
        (1, Fate::Executed),
        (3, Fate::Forwarded),
    ] {
        let session = session_at(partition).unwrap_or(0);
        assert!(fates(&mut routing, &renew, session, false).1 == [fate]);
    }
    assert!(fates(&mut routing, &renew, 0, false).1 == [Fate::Executed]);
}

#[test]
fn records_that_are_read_again_tell_of_nothing_older() {
    let (routing, cells) = routing();
    cells[1].store(5, Ordering::Release);
    routing.publish_all(&[7, 4, 7, 7]);
    let told = || {
        cells
            .iter()
            .map(|cell| cell.load(Ordering::Acquire))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(), [0, 5, 0, 0]);
    routing.publish_all(&[7, 6, 7, 7]);
    assert_eq!(told(), [0, 6, 0, 0]);
}
