//! Tests of `forwards`.

use proptest::prelude::*;

use super::*;
use crate::layout::{OPERATION_CODE, OPERATION_ID};
use crate::limits::{FRAME_BYTES_MAX_DEFAULT, forwards_bytes_for};
use crate::request::{Request, check_request};

/// An operation that goes to a worker, or to none.
type Planned = (Option<usize>, Vec<u8>, Vec<u8>);

/// The structs of operations with ascending ids, and their keys and values.
fn columns(planned: &[Planned]) -> (Vec<u8>, Vec<u8>) {
    let (mut operations, mut data) = (Vec::new(), Vec::new());
    for (index, (_, key, value)) in planned.iter().enumerate() {
        let mut bytes = [0; OPERATION_BYTES];
        write(&mut bytes, OPERATION_ID, (index as u32 * 3).to_le_bytes());
        bytes[OPERATION_CODE] = index as u8;
        let key_length = key.len() as u16;
        write(&mut bytes, OPERATION_KEY_LENGTH, key_length.to_le_bytes());
        let value_length = value.len() as u32;
        write(
            &mut bytes,
            OPERATION_VALUE_LENGTH,
            value_length.to_le_bytes(),
        );
        operations.extend_from_slice(&bytes);
        data.extend_from_slice(key);
        data.extend_from_slice(value);
    }
    (operations, data)
}

/// Worker, operations and frame of each entry.
fn entries(mut bytes: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let [total, worker, count, length] = [0, 4, 8, 12].map(|at| read_u32(bytes, at) as usize);
        let (entry, rest) = bytes.split_at(total);
        let frame = &entry[FORWARD_HEAD_BYTES..FORWARD_HEAD_BYTES + length];
        assert!(total.is_multiple_of(8) && total - FORWARD_HEAD_BYTES - length < 8);
        assert!(
            entry[FORWARD_HEAD_BYTES + length..]
                .iter()
                .all(|&byte| byte == 0)
        );
        found.push((worker, count, frame.to_vec()));
        bytes = rest;
    }
    found
}

proptest! {
    #[test]
    fn each_worker_gets_a_valid_frame_of_its_operations(
        planned in prop::collection::vec(
            (
                prop::option::of(0..WORKERS_MAX),
                prop::collection::vec(any::<u8>(), 0..20),
                prop::collection::vec(any::<u8>(), 0..40),
            ),
            1..100,
        ),
    ) {
        let (operations, data) = columns(&planned);
        // What was there before must not show.
        let mut buffer = vec![0xff; forwards_bytes_for(1)];
        let mut writer = ForwardWriter::new(&mut buffer);
        let forwarded = operations
            .chunks_exact(OPERATION_BYTES)
            .zip(&planned)
            .map(|(bytes, &(worker, ..))| Forwarded { bytes, worker });
        writer.split(forwarded, &data);
        let length = writer.length();
        let entries = entries(&buffer[..length]);

        let mut workers: Vec<usize> = planned.iter().filter_map(|planned| planned.0).collect();
        workers.sort_unstable();
        workers.dedup();
        let told: Vec<usize> = entries.iter().map(|entry| entry.0).collect();
        prop_assert_eq!(told, workers);
        for (worker, count, frame) in entries {
            let Ok(Request { operations: own, count: checked, data: own_data }) =
                check_request(&frame, FRAME_BYTES_MAX_DEFAULT)
            else {
                return Err(TestCaseError::fail("not a valid frame"));
            };
            prop_assert_eq!(count, checked);
            let mut expected = (Vec::new(), Vec::new());
            let structs = operations.chunks_exact(OPERATION_BYTES);
            for (bytes, (_, key, value)) in
                structs.zip(&planned).filter(|(_, planned)| planned.0 == Some(worker))
            {
                expected.0.extend_from_slice(bytes);
                expected.1.extend_from_slice(key);
                expected.1.extend_from_slice(value);
            }
            prop_assert_eq!(own, expected.0);
            prop_assert_eq!(own_data, expected.1);
        }
    }
}

#[test]
fn the_largest_frame_has_room_in_as_many_parts_as_can_be() {
    // Keys and values that overlap the operations: the frame is hardly longer than its data.
    let count = crate::limits::OPERATIONS_PER_FRAME_MAX;
    let frame_bytes = FRAME_BYTES_MAX_DEFAULT;
    let mut planned: Vec<Planned> = (0..count)
        .map(|index| (Some(index % WORKERS_MAX), vec![1], Vec::new()))
        .collect();
    planned[0].2 = vec![2; frame_bytes - count];
    let (operations, data) = columns(&planned);
    assert_eq!(data.len(), frame_bytes);
    let mut buffer = vec![0; forwards_bytes_for(1)];
    let mut writer = ForwardWriter::new(&mut buffer);
    let forwarded = operations
        .chunks_exact(OPERATION_BYTES)
        .zip(&planned)
        .map(|(bytes, &(worker, ..))| Forwarded { bytes, worker });
    writer.split(forwarded, &data);
    assert!(writer.length() > frame_bytes + operations.len());
}

#[test]
fn a_whole_frame_is_copied_as_it_came() {
    let mut buffer = vec![0xff; 64];
    let mut writer = ForwardWriter::new(&mut buffer);
    writer.whole(7, 2, b"as it came");
    let length = writer.length();
    assert_eq!(entries(&buffer[..length]), [(7, 2, b"as it came".to_vec())]);
}
