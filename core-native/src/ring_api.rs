//! The Node-API surface of the ring.

use napi::bindgen_prelude::{Uint8Array, Uint16Array, Uint32Array};
use napi::{Error, Result};
use napi_derive::napi;

use crate::limits::PARTITIONS_MAX;
use crate::ring::{Member, lookup_many, place};

/// The member of each partition. Member `i` is called `names[ends[i - 1], ends[i])`; `members` has its weight
/// and capacity as a pair. The caller has checked what `ts/engine/ring.ts` checks.
#[napi]
pub fn ring_place(
    names: Uint8Array,
    ends: Uint32Array,
    members: Uint32Array,
    partitions: u32,
) -> Result<Uint16Array> {
    let partitions = partitions as usize;
    let mut start = 0;
    let mut checked = Vec::with_capacity(ends.len());
    for (&end, pair) in ends.iter().zip(members.chunks_exact(2)) {
        let name = names
            .get(start..end as usize)
            .ok_or_else(|| Error::from_reason("the names do not fit"))?;
        start = end as usize;
        checked.push(Member {
            name,
            weight: pair[0],
            capacity: pair[1],
        });
    }
    let room: u64 = checked
        .iter()
        .map(|member| u64::from(member.capacity))
        .sum();
    let has_points = checked.iter().all(|member| member.weight > 0);
    if checked.is_empty() || !has_points || room < partitions as u64 || partitions > PARTITIONS_MAX
    {
        return Err(Error::from_reason(
            "the members have no room for the partitions",
        ));
    }
    Ok(Uint16Array::new(place(&checked, partitions)))
}

/// The member of each of many keys; see `lookupMany` in `ts/engine/ring.ts`.
#[napi]
pub fn ring_lookup_many(
    owners: Uint16Array,
    keys: Uint8Array,
    ends: Uint32Array,
    mut into: Uint16Array,
) -> Result<()> {
    // SAFETY: the caller made the array, keeps it alive during the call and does not touch it meanwhile, as
    // it is on the same thread; it is no view of one of the others.
    let into = unsafe { into.as_mut() };
    if owners.is_empty() || into.len() < ends.len() {
        return Err(Error::from_reason("the arrays do not fit"));
    }
    lookup_many(&owners, &keys, &ends, into)
        .ok_or_else(|| Error::from_reason("the ends do not ascend within the keys"))
}
