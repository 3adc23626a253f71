//! The check of a request frame before any operation is looked at. A frame is accepted or refused
//! whole, so a bad one changes nothing. `ts/wire/request.ts` accepts exactly the same frames.

use flatbuffers::VerifierOptions;

use crate::generated::{Frame, FrameKind, Status};
use crate::layout::{
    FILE_IDENTIFIER, OPERATION_BYTES, OPERATION_ID, OPERATION_KEY_LENGTH, OPERATION_VALUE_LENGTH,
    read_u16, read_u32,
};
use crate::limits::OPERATIONS_PER_FRAME_MAX;

/// A checked request: every operation and every byte of key and value is in range.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `count` structs of OPERATION_BYTES.
    pub operations: &'a [u8],
    pub count: usize,
    /// Keys and values in the order of the operations.
    pub data: &'a [u8],
}

/// Tables of a frame: itself, hello, welcome and the limits within.
const TABLES_MAX: usize = 4;

/// Checks a frame, or says why it is refused.
pub fn check_request(frame: &[u8], frame_bytes_max: usize) -> Result<Request<'_>, Status> {
    if frame.len() > frame_bytes_max {
        return Err(Status::FrameTooLarge);
    }
    if frame.get(4..8) != Some(FILE_IDENTIFIER) {
        return Err(Status::Malformed);
    }
    let options = VerifierOptions {
        max_depth: 3,
        max_tables: TABLES_MAX,
        ..VerifierOptions::default()
    };
    let table =
        flatbuffers::root_with_opts::<Frame>(&options, frame).map_err(|_| Status::Malformed)?;
    let foreign = table.results().is_some()
        || table.hello().is_some()
        || table.welcome().is_some()
        || table.events().is_some();
    if table.kind() != FrameKind::Request || foreign {
        return Err(Status::Malformed);
    }
    let (Some(operations), Some(data)) = (table.operations(), table.data()) else {
        return Err(Status::Malformed);
    };
    let count = operations.len();
    if count == 0 {
        return Err(Status::Malformed);
    }
    if count > OPERATIONS_PER_FRAME_MAX {
        return Err(Status::TooManyOperations);
    }

    let operations = operations.bytes();
    let mut bytes = 0_u64;
    let mut id_before = None;
    for operation in operations.chunks_exact(OPERATION_BYTES) {
        let id = read_u32(operation, OPERATION_ID);
        if id_before.is_some_and(|before| id <= before) {
            return Err(Status::DuplicateId);
        }
        id_before = Some(id);
        bytes += u64::from(read_u16(operation, OPERATION_KEY_LENGTH));
        bytes += u64::from(read_u32(operation, OPERATION_VALUE_LENGTH));
    }
    if bytes != data.len() as u64 {
        return Err(Status::Malformed);
    }
    Ok(Request {
        operations,
        count,
        data: data.bytes(),
    })
}
