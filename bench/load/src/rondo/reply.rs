//! Reads replies: those in the usual layout directly, any other through the verifier.

use crate::fault::{Fault, excerpt};
use crate::generated::{EventKind, FrameKind, Status};
use crate::protocol::Outcome;
use crate::rondo::layout::{Columns, Element, REPLY_HEADER, frame_of, usual_columns};

/// Results and data of a reply.
#[inline]
pub fn reply_columns(payload: &[u8]) -> Result<Columns<'_>, Fault> {
    if let Some(columns) = usual_columns(payload, &REPLY_HEADER, FrameKind::Reply) {
        return Ok(columns);
    }
    let frame = frame_of(payload)?;
    let (FrameKind::Reply, Some(results), Some(data)) =
        (frame.kind(), frame.results(), frame.data())
    else {
        return Err(Fault::protocol("a frame is not a reply"));
    };
    Ok((results.bytes().as_chunks().0, data.bytes()))
}

/// None where the frame only says that the routing table has changed: keys stay with their workers, so that
/// it changes nothing for a run.
#[inline]
fn reply_or_news(payload: &[u8]) -> Result<Option<Columns<'_>>, Fault> {
    if let Some(columns) = usual_columns(payload, &REPLY_HEADER, FrameKind::Reply) {
        return Ok(Some(columns));
    }
    let frame = frame_of(payload)?;
    let Some(events) = frame.events().filter(|_| frame.kind() == FrameKind::Push) else {
        return reply_columns(payload).map(Some);
    };
    for event in events {
        match event.kind() {
            EventKind::Routing => {}
            EventKind::WorkerLost => return Err(Fault::WorkerLost),
            kind => {
                let name = kind.variant_name().unwrap_or("unknown");
                return Err(Fault::protocol(format!(
                    "it pushed {name}, which nobody asked"
                )));
            }
        }
    }
    Ok(None)
}

#[inline]
pub fn read_reply(
    payload: &[u8],
    answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some((results, mut data)) = reply_or_news(payload)? else {
        return Ok(());
    };
    for result in results {
        let head = Element::of(result);
        let length = head.key_bytes + head.value_bytes;
        let Some((bytes, rest)) = data.split_at_checked(length) else {
            return Err(Fault::protocol("the lengths of a reply exceed its data"));
        };
        data = rest;
        let revision = &result[16..24];
        let outcome = match Status(head.code) {
            // Neither a get nor a put answers with a key or flags, and each knows a revision.
            Status::Ok if head.key_bytes > 0 || head.flags != 0 || revision == [0; 8] => {
                Outcome::Error(format!("a result of another kind: {}", excerpt(result)))
            }
            Status::Ok if bytes.is_empty() => Outcome::Done,
            Status::Ok => Outcome::Value(bytes),
            Status::NotFound => Outcome::Missing,
            status => {
                let name = status.variant_name().unwrap_or("unknown status");
                Outcome::Error(format!("{name} ({})", status.0))
            }
        };
        answer(head.id, outcome)?;
    }
    if data.is_empty() {
        Ok(())
    } else {
        Err(Fault::protocol(
            "a reply has more data than its results say",
        ))
    }
}
